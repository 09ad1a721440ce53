// ⑤ Containers that are being made: each for an image and resource class, until runc has made it or it has failed.

import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Pool } from "../proto/gen/hob/v1/agents.ts";
import type { ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import { type Container, type ContainerHost, createContainer } from "./container/container.ts";
import type { Images } from "./images.ts";
import { type Launch, launchOf } from "./runner/image-runtime.ts";

interface MakingHost {
  images: Pick<Images, "mountPoint" | "runtime">;
  container: ContainerHost;
  /** The agent's Node, for images that have none, and the containers' /etc/hosts. */
  inside: Parameters<typeof launchOf>[2];
  eventsOf(id: string): Parameters<typeof createContainer>[1]["events"];
  changed(container: Container): void;
  /** Ends with what the containers stand on. */
  signal(): AbortSignal;
  /** The image is about to be used. */
  used(image: string): void;
  /** The image cannot run that language, however often it is tried. */
  unfit(image: string, language: string, sentence: string): void;
  clock: Clock;
  log: Log;
}

export interface Making {
  readonly all: ReadonlyMap<string, { image: string; resourceClass: ResourceClass; done: Promise<unknown>; sinceMs: number }>;
  create(pool: Pool): Promise<void>;
  /** It is there, and its own from now on. */
  made(id: string): void;
}

const defaultClass: ResourceClass = { cpu: 0, memoryBytes: 0, language: "python", gpu: "", network: "internet" };

export function createMaking({ images, container, inside, clock, log, ...host }: MakingHost): Making {
  const all = new Map<string, { image: string; resourceClass: ResourceClass; done: Promise<unknown>; sinceMs: number }>();

  async function create({ image, resourceClass = defaultClass }: Pool): Promise<void> {
    const id = randomBytes(4).toString("hex");
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const sinceMs = clock.now();
    all.set(id, { image, resourceClass, done, sinceMs });
    const signal = host.signal();
    host.used(image);
    try {
      const language = resourceClass.language === "typescript" ? "typescript" : "python";
      const imageMount = await images.mountPoint(image, language);
      const launch = await launchable(image, language);
      const { changed } = host;
      await createContainer(
        container,
        { id, image, imageMount, resourceClass, launch, events: host.eventsOf(id), changed },
        signal,
      );
      log.info({ id, ms: clock.now() - sinceMs }, "created");
    } catch (error) {
      log.error({ id, error: sentenceOf(error) }, "making a container");
      throw error;
    } finally {
      all.delete(id);
      resolve();
    }
  }

  async function launchable(image: string, language: "python" | "typescript"): Promise<Launch> {
    try {
      return launchOf(language, await images.runtime(image), inside);
    } catch (error) {
      if (error instanceof HobError && error.kind === "precondition") host.unfit(image, language, error.sentence);
      throw error;
    }
  }

  return { all, create, made: (id) => void all.delete(id) };
}
