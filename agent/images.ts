// ⑤ The images of this node: captured or fetched, and each mounted once, however many containers stand on it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import type { ContentFolder } from "../base/content-folder.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import { captureHostImage } from "../fusefs/image/host.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type { AgentMessage } from "../proto/gen/hob/v1/agents.ts";
import type { Progress } from "../proto/gen/hob/v1/calls.ts";
import type { ImageRef } from "../proto/gen/hob/v1/common.ts";
import type { ImageInfo } from "../proto/gen/hob/v1/fleet.ts";
import { unmount } from "./container/system-calls.ts";
import { failure } from "./failures.ts";
import type { LazyImages } from "./fetch/lazy.ts";

type ImageResolved = Extract<NonNullable<AgentMessage["message"]>, { $case: "image" }>["value"];

export interface ImagesHost {
  store: ContentFolder;
  lazy: Pick<LazyImages, "begin" | "answered" | "figures">;
  fuse(): FuseServer;
  /** RUN/images */
  folder: string;
  /** Node binary that goes into the host's image. */
  node: string;
  nodeName: string;
  progress(progress: Omit<Progress, "node">): void;
  clock: Clock;
  signal: AbortSignal;
}

export interface Images {
  /** Never rejects: a failure is part of the answer. */
  resolve(reference: ImageRef): Promise<ImageResolved>;
  /** Where the image is mounted; mounts it if it is not. */
  mountPoint(digest: string): Promise<string>;
  /** Resolves when nothing is being captured or mounted any more, or after five seconds: a fetch may wait for a control that is gone. */
  settled(): Promise<void>;
  /** The FUSE daemon is gone: detaches what it served. */
  forgetMounts(): void;
  /** A call in it has ended: what its start reads is known. */
  answered(digest: string): Promise<void>;
  list(): ImageInfo[];
  mounted(): string[];
  /** Unmounts it; a container that comes mounts it again. */
  release(digest: string): Promise<void>;
}

const progressEveryMs = 100;
const settlePatienceMs = 5_000;

export function createImages(host: ImagesHost): Images {
  const known = new Map<string, ImageInfo>();
  const mounts = new Map<string, Promise<string>>();
  const leaving = new Map<string, Promise<void>>(); // being unmounted
  let capture: Promise<ImageInfo> | undefined;

  async function captureHost(): Promise<ImageInfo> {
    const { clock } = host;
    let saidAtMs = 0;
    const say = (phase: string, done: number, total: number, message = ""): void =>
      host.progress({ what: "image host", phase, done, total, unit: "files", message });
    const captured = await captureHostImage({
      store: host.store,
      node: host.node,
      signal: host.signal,
      progress: (done, total) => {
        if (clock.now() - saidAtMs < progressEveryMs) return;
        saidAtMs = clock.now();
        say("capturing", done, total);
      },
    });
    const { digest, files, bytes, storedBytes } = captured;
    say("mounting", files, files);
    const { passthrough, view: used } = host.fuse();
    const view = used.kind === "tiered" ? "tiered" : passthrough.used ? "tree, passthrough" : "tree, read";
    const info: ImageInfo = {
      ...{ digest, source: "host", files, bytes, storedBytes, localBytes: storedBytes, node: host.nodeName, view },
      ...{ capturedAtMs: clock.now(), sharedBytes: 0 },
      ...{ firstReadBlobs: 0, firstReadBytes: 0, firstReadHits: 0, firstFetchedBytes: 0 },
    };
    known.set(digest, info);
    await mountPoint(digest);
    say("ready", files, files);
    return info;
  }

  async function mountNow(digest: string): Promise<string> {
    if (!known.has(digest)) await host.lazy.begin(digest); // what was captured here has arrived
    host.signal.throwIfAborted(); // who ends unmounts what is there, and nothing may come after it
    const target = join(host.folder, digest.slice(0, 16));
    mkdirSync(target, { recursive: true, mode: 0o711 });
    await host.fuse().mountImage(digest, target);
    return target;
  }

  function mountPoint(digest: string): Promise<string> {
    const mounted = mounts.get(digest);
    if (mounted) return mounted;
    const left = leaving.get(digest) ?? Promise.resolve();
    const mounting = left.then(() => mountNow(digest));
    mounts.set(digest, mounting);
    mounting.catch(() => {
      if (mounts.get(digest) === mounting) mounts.delete(digest);
    });
    return mounting;
  }

  return {
    async resolve(requested) {
      try {
        if (requested.source !== "host") throw new HobError("usage", `image source "${requested.source}" is not one of: host`);
        capture ??= captureHost();
        return { requested, image: await capture, failure: undefined };
      } catch (error) {
        capture = undefined;
        const message = `image ${requested.source}: ${sentenceOf(error)}`;
        host.progress({ what: `image ${requested.source}`, phase: "failed", done: 0, total: 0, unit: "files", message });
        return { requested, image: undefined, failure: failure("infrastructure", message) };
      }
    },
    mountPoint,
    settled: async () =>
      void (await Promise.race([
        Promise.allSettled([capture, ...mounts.values()]),
        after(settlePatienceMs, undefined, { ref: false }),
      ])),
    forgetMounts() {
      for (const digest of mounts.keys()) unmount(join(host.folder, digest.slice(0, 16)));
      mounts.clear();
    },
    mounted: () => [...mounts.keys()],
    async release(digest) {
      const mounted = mounts.get(digest);
      if (!mounted) return;
      mounts.delete(digest);
      const released = mounted.then((point) => host.fuse().unmount(point));
      leaving.set(digest, released);
      await released.finally(() => leaving.delete(digest));
    },
    answered: host.lazy.answered,
    list: () => [...known.values()].map((info) => ({ ...info, ...host.lazy.figures(info.digest) })),
  };
}
