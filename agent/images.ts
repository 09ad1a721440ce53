// ⑤ The images of this node: captured or fetched, and each mounted once, however many containers stand on it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import type { ContentFolder } from "../base/content-folder.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import { decodeManifest } from "../fusefs/image/decode.ts";
import { captureHostImage } from "../fusefs/image/host.ts";
import { sizesOfManifest } from "../fusefs/image/import/outcome.ts";
import type { Manifest } from "../fusefs/image/manifest.ts";
import type { FuseServer } from "../fusefs/server.ts";
import type { AgentMessage, ResolveImage } from "../proto/gen/hob/v1/agents.ts";
import type { Progress } from "../proto/gen/hob/v1/calls.ts";
import type { ImageRef } from "../proto/gen/hob/v1/common.ts";
import type { ImageInfo } from "../proto/gen/hob/v1/fleet.ts";
import { imageKey, imageLabel } from "../proto/image.ts";
import { type Build, imageFailure } from "./build/builds.ts";
import { unmount } from "./container/system-calls.ts";
import type { Content } from "./content.ts";
import type { LazyImages } from "./fetch/lazy.ts";
import { type AgentNode, filesRead, type ImageRuntime, pythonOf, runtimeOf } from "./runner/image-runtime.ts";

type ImageResolved = Extract<NonNullable<AgentMessage["message"]>, { $case: "image" }>["value"];

export interface ImagesHost {
  store: ContentFolder;
  content: Pick<Content, "ensure">;
  lazy: Pick<LazyImages, "begin" | "answered" | "figures" | "forget" | "foretellPython">;
  /** The import statements of the Python runner. */
  runnerImports(): string;
  fuse(): FuseServer;
  /** RUN/images */
  folder: string;
  /** Node binary that goes into the host's image. */
  node: AgentNode;
  nodeName: string;
  /** Makes what `resolve` needs beyond this node's own runtimes. */
  builds(images: Pick<Images, "mountPoint"> & { captureHost(): Promise<string> }): Build;
  progress(progress: Omit<Progress, "node">): void;
  clock: Clock;
  signal: AbortSignal;
}

export interface Images {
  /** Rejects only when it was given up: because the agent ends, or control is not there any more. Another failure is part of the answer. */
  resolve(order: ResolveImage): Promise<ImageResolved>;
  /** Nobody wants that image any more: its build ends, where there is one. */
  giveUpImage(image: ImageRef): void;
  /** Control is gone: nobody waits for what is being built. */
  giveUp(reason: string): void;
  /** Where the image is mounted; mounts it if it is not. `starts`: what is about to be started over it. */
  mountPoint(digest: string, starts?: "python" | "typescript"): Promise<string>;
  /** What the image has for processes in it. */
  runtime(digest: string): Promise<ImageRuntime>;
  /** Resolves when nothing is being captured or mounted any more, or after five seconds: a fetch may wait for a control that is gone. */
  settled(): Promise<void>;
  /** The FUSE daemon is gone: detaches what it served. */
  forgetMounts(): void;
  /** A call in it has ended: what its start reads is known. */
  answered(digest: string): Promise<void>;
  list(): ImageInfo[];
  mounted(): string[];
  /** Whether steps are run over images that are mounted. */
  building(): boolean;
  /** Unmounts it; a container that comes mounts it again. */
  release(digest: string): Promise<void>;
}

/** Of an image that was made here, and not fetched. */
const unknown = { sharedBytes: 0, firstReadBlobs: 0, firstReadBytes: 0, firstReadHits: 0, firstFetchedBytes: 0 };

function pythonIn(manifest: Manifest): string | undefined {
  const found = pythonOf(manifest);
  return typeof found === "string" ? found : undefined;
}

const progressEveryMs = 100;
const settlePatienceMs = 5_000;

export function createImages(host: ImagesHost): Images {
  const known = new Map<string, ImageInfo>();
  const mounts = new Map<string, Promise<string>>();
  const leaving = new Map<string, Promise<void>>(); // being unmounted
  const runtimes = new Map<string, Promise<ImageRuntime>>();
  const building = new Map<string, { info: Promise<ImageInfo>; stop: AbortController }>();
  let wanted = new AbortController(); // what is being built
  let capture: Promise<ImageInfo> | undefined;

  async function captureHost(): Promise<ImageInfo> {
    const { clock } = host;
    let saidAtMs = 0;
    const say = (phase: string, done: number, total: number, message = ""): void =>
      host.progress({ what: "image host", phase, done, total, unit: "files", message, image: "" });
    const captured = await captureHostImage({
      store: host.store,
      node: host.node.path,
      signal: host.signal,
      progress: (done, total) => {
        if (clock.now() - saidAtMs < progressEveryMs) return;
        saidAtMs = clock.now();
        say("capturing", done, total);
      },
    });
    const { digest, files, bytes, storedBytes } = captured;
    say("mounting", files, files);
    const info = infoOf(digest, "host", { files, bytes, storedBytes });
    known.set(digest, info);
    await mountPoint(digest);
    say("ready", files, files);
    return info;
  }

  function infoOf(digest: string, source: string, sizes: Pick<ImageInfo, "files" | "bytes" | "storedBytes">): ImageInfo {
    const { passthrough, view: used } = host.fuse();
    const view = used.kind === "tiered" ? "tiered" : passthrough.used ? "tree, passthrough" : "tree, read";
    const local = { localBytes: sizes.storedBytes, node: host.nodeName, view };
    return { digest, source, ...sizes, ...local, ...unknown, capturedAtMs: host.clock.now() };
  }

  function capturedHost(): Promise<ImageInfo> {
    capture ??= captureHost().catch((error: unknown) => {
      capture = undefined;
      throw error;
    });
    return capture;
  }

  const build = host.builds({ mountPoint, captureHost: async () => (await capturedHost()).digest });

  async function builtImage(order: ResolveImage, image: ImageRef, stop: AbortSignal): Promise<ImageInfo> {
    const signal = AbortSignal.any([host.signal, wanted.signal, stop]);
    const digest = await build(order, signal);
    signal.throwIfAborted();
    const info = infoOf(
      digest,
      image.source === "host" ? "host, with steps" : imageLabel(image),
      sizesOfManifest(manifestOf(digest)),
    );
    known.set(digest, info);
    await mountPoint(digest);
    const total = image.steps.length;
    host.progress({
      what: `image ${imageLabel(image)}`,
      phase: "ready",
      done: total,
      total,
      unit: "steps",
      message: "",
      image: "",
    });
    return info;
  }

  /** Those who ask for the same share one build. */
  function buildOnce(order: ResolveImage, image: ImageRef): Promise<ImageInfo> {
    const key = `${imageKey(image)} from ${order.from}`;
    const begun = building.get(key);
    if (begun) return begun.info;
    const stop = new AbortController();
    const entry = {
      stop,
      info: builtImage(order, image, stop.signal).finally(() => building.get(key) === entry && building.delete(key)),
    };
    building.set(key, entry);
    return entry.info;
  }

  const manifestOf = (digest: string): Manifest => decodeManifest(host.store.read(digest));

  async function readRuntime(digest: string): Promise<ImageRuntime> {
    await host.content.ensure([digest], digest);
    const manifest = manifestOf(digest);
    await host.content.ensure(filesRead(manifest), digest);
    return runtimeOf(manifest, host.node, (file) => host.store.read(file).toString("utf8"));
  }

  async function mountNow(digest: string, starts: string | undefined): Promise<string> {
    // What was captured here has arrived.
    if (!known.has(digest)) {
      await host.lazy.begin(digest);
      if (starts === "python") void host.lazy.foretellPython(digest, pythonIn, host.runnerImports());
    }
    host.signal.throwIfAborted(); // who ends unmounts what is there, and nothing may come after it
    const target = join(host.folder, digest.slice(0, 16));
    mkdirSync(target, { recursive: true, mode: 0o711 });
    await host.fuse().mountImage(digest, target);
    return target;
  }

  function mountPoint(digest: string, starts?: string): Promise<string> {
    const mounted = mounts.get(digest);
    if (mounted) return mounted;
    const left = leaving.get(digest) ?? Promise.resolve();
    const mounting = left.then(() => mountNow(digest, starts));
    mounts.set(digest, mounting);
    mounting.catch(() => {
      if (mounts.get(digest) === mounting) mounts.delete(digest);
    });
    return mounting;
  }

  return {
    async resolve(order) {
      const requested = order.image as ImageRef;
      const what = `image ${imageLabel(requested)}`;
      try {
        const plain = requested.source === "host" && requested.steps.length === 0;
        return { requested, image: await (plain ? capturedHost() : buildOnce(order, requested)), failure: undefined };
      } catch (error) {
        host.signal.throwIfAborted();
        if (error instanceof HobError && error.kind === "cancelled") throw error;
        const said = sentenceOf(error);
        const message = said.startsWith(what) ? said : `${what}: ${said}`;
        host.progress({ what, phase: "failed", done: 0, total: 0, unit: "", message, image: "" });
        return { requested, image: undefined, failure: imageFailure(error, message) };
      }
    },
    giveUpImage(image) {
      for (const [key, { stop }] of building) {
        if (!key.startsWith(`${imageKey(image)} from `)) continue;
        building.delete(key); // who wants it again begins anew
        stop.abort(new HobError("cancelled", `image ${imageLabel(image)}: nobody wants it any more`));
      }
    },
    giveUp(reason) {
      wanted.abort(new HobError("cancelled", reason));
      wanted = new AbortController();
    },
    runtime(digest) {
      const runtime = runtimes.get(digest) ?? readRuntime(digest);
      runtimes.set(digest, runtime);
      runtime.catch(() => runtimes.delete(digest));
      return runtime;
    },
    mountPoint,
    settled: async () =>
      void (await Promise.race([
        Promise.allSettled([capture, ...[...building.values()].map(({ info }) => info), ...mounts.values()]),
        after(settlePatienceMs, undefined, { ref: false }),
      ])),
    forgetMounts() {
      for (const digest of mounts.keys()) unmount(join(host.folder, digest.slice(0, 16)));
      mounts.clear();
    },
    mounted: () => [...mounts.keys()],
    building: () => building.size > 0,
    async release(digest) {
      const mounted = mounts.get(digest);
      if (!mounted) return;
      mounts.delete(digest);
      const released = mounted.then(async (point) => {
        await host.fuse().unmount(point);
        host.lazy.forget(digest);
      });
      leaving.set(digest, released);
      await released.finally(() => leaving.delete(digest));
    },
    answered: host.lazy.answered,
    list: () => [...known.values()].map((info) => ({ ...info, ...host.lazy.figures(info.digest) })),
  };
}
