// ⑤ Which containers' runners are forks of a process that waits, and that process' life: started in the background, given up when it fails.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import { type Forerunner, startForerunner } from "./container/forerunner.ts";
import { mountPlainRoot } from "./container/root.ts";
import { runnerCommand } from "./runner/command.ts";

export interface ForerunnersHost {
  /** RUN/forerunner */
  folder: string;
  /** RUN/sdk */
  sdk: string;
  /** As of ContainerHost. */
  contents(): readonly string[];
  /** Whether the node has made that image of its own files. */
  isOwn(image: string): boolean;
  log: Log;
}

interface Wish {
  image: string;
  imageMount: string;
  resourceClass: ResourceClass;
}

export interface Forerunners extends AsyncDisposable {
  /** The one for such a container; undefined while it is not there, and for what runc has to start. */
  of(wish: Wish): Forerunner | undefined;
  /** The FUSE daemon is gone, and the files that it has mapped with it. */
  forget(): Promise<void>;
}

export function createForerunners({ folder, sdk, contents, isOwn, log }: ForerunnersHost): Forerunners {
  let current: { image: string; life: AsyncDisposableStack; forerunner: Forerunner } | undefined;
  let starts = 0;
  let failed = false;

  async function open(image: string, imageMount: string): Promise<void> {
    const life = new AsyncDisposableStack();
    const place = join(folder, String(starts++));
    try {
      mkdirSync(place, { recursive: true, mode: 0o700 });
      life.defer(() => rm(place, { recursive: true, force: true }));
      const root = mountPlainRoot(place, { image: imageMount, contents: contents() }, { "/hob": sdk }, life);
      const forerunner = life.use(startForerunner({ root, env: runnerCommand("python").env, failed: giveUp }));
      current = { image, life, forerunner };
    } catch (error) {
      await life.disposeAsync();
      giveUp(sentenceOf(error));
    }
  }

  function giveUp(reason: string): void {
    failed = true;
    log.warn({ reason }, "runners are started one by one from now on");
    void forget();
  }

  async function forget(): Promise<void> {
    const former = current;
    current = undefined;
    await former?.life.disposeAsync();
  }

  return {
    of({ image, imageMount, resourceClass }) {
      // GPUs: a runner looks into /proc for who holds one, and a hook of theirs may want the container's own first process.
      if (failed || resourceClass.language !== "python" || resourceClass.gpu !== "" || !isOwn(image)) return undefined;
      if (!current) void open(image, imageMount);
      else if (current.image === image && current.forerunner.ready) return current.forerunner;
      return undefined;
    },
    forget,
    [Symbol.asyncDispose]: forget,
  };
}
