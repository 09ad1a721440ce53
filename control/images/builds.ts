// ④⑤ Builds of images: one for a key whoever asks, on a node that planBuilds chooses, told to whoever listens, recorded with its log.

import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { BuildLog, ImageResolved, ImageStepBuilt } from "../../proto/gen/hob/v1/agents.ts";
import type { Progress } from "../../proto/gen/hob/v1/calls.ts";
import { Failure, type ImageRef, type RegistryCredential } from "../../proto/gen/hob/v1/common.ts";
import type { ImageInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { type BuildLine, ImageBuild, ImageRecord } from "../../proto/gen/hob/v1/images.ts";
import { hostImageKey, imageKey, imageLabel } from "../../proto/image.ts";
import { lossesAllowed } from "../call-states.ts";
import type { Node, Nodes } from "../nodes.ts";
import type { Turn } from "../turn.ts";
import { planBuilds } from "./plan.ts";
import type { ImageRecords } from "./records.ts";

const linesKept = 400; // of one build
const lineCharacters = 4_096; // agents.proto, BuildLog

interface BuildsParts {
  records: ImageRecords;
  nodes: Pick<Nodes, "all" | "grant">;
  turn: Pick<Turn, "wake" | "toNode">;
  clock: Clock;
  log: Log;
  /** Tells the sessions that watch these apps, or have published that image. */
  tell(build: ImageBuild): void;
}

interface Wish {
  /** "" for one that was asked for by hand. */
  app: string;
  credentials: readonly RegistryCredential[];
  /** Every step is run, known or not. */
  anew?: boolean;
  listener?: (build: ImageBuild) => void;
}

export interface Builds {
  /** Sees to it that the image is there, or is being built. What has failed before is tried again. */
  want(image: ImageRef, wish: Wish): void;
  /** After a start of control: as `want`, but what has failed stays so. */
  resume(image: ImageRef, app: string): void;
  unlisten(listener: (build: ImageBuild) => void): void;
  /** These are the images that an app's functions have now: a build that nobody wants any more is given up, where no other waits for a step of it. */
  retain(app: string, keys: ReadonlySet<string>): void;
  /** Starts what can be started. Part of a turn's decision. */
  start(): void;
  stepBuilt(message: ImageStepBuilt): void;
  said(message: BuildLog): void;
  resolved(node: Node, message: ImageResolved): void;
  nodeLost(node: Node): void;
  /** Why nothing can run in the image of that key, until somebody tries again. */
  failureOf(key: string): Failure | undefined;
  /** How those builds of an app go that run, or have failed and are of these images, with their lines so far. */
  of(app: string, used: ReadonlySet<string>): ImageBuild[];
  readonly running: number;
  /** "waiting" or "building"; undefined when it is neither. */
  stateOf(key: string): string | undefined;
  /** What an agent says of its long work: without what is told of builds in a better way. */
  progress(progress: Progress): Progress | undefined;
}

interface Build {
  readonly key: string;
  readonly image: ImageRef;
  readonly keys: readonly string[];
  readonly startedAtMs: number;
  readonly apps: Set<string>;
  readonly listeners: Set<(build: ImageBuild) => void>;
  readonly credentials: Map<string, RegistryCredential>;
  readonly lines: BuildLine[];
  dropped: number;
  node: string | undefined;
  step: number;
  losses: number;
  /** The last app that wanted it has another image now. */
  unwanted: boolean;
}

/** A definition is told to many: without its thousand files. */
const brief = (image: ImageRef): ImageRef => ({ ...image, steps: image.steps.map((step) => ({ ...step, files: [] })) });

export function createBuilds(parts: BuildsParts): Builds {
  const { records, nodes, turn, clock, log } = parts;
  const builds = new Map<string, Build>();
  const amounts = new Set<string>(); // downloads that sessions have been told of
  for (const [key, digest] of records.steps()) if (records.digestOf(key)) nodes.grant(key, digest);

  function event(build: Build, more: Partial<ImageBuild>): ImageBuild {
    const { key, image, node = "", step, startedAtMs, apps } = build;
    const state = build.node === undefined ? "waiting" : "building";
    return ImageBuild.fromPartial({ key, image: brief(image), node, step, startedAtMs, state, apps: [...apps], ...more });
  }

  function tell(build: Build, more: Partial<ImageBuild> = {}): void {
    const said = event(build, more);
    parts.tell(said);
    for (const listener of build.listeners) listener(said);
  }

  /** Nothing is to be run: it has been built before, or it is what a part of another image's steps has left. */
  function known({ key, image }: Pick<Build, "key" | "image">, digest: string, wish: Wish): void {
    const before = records.image(key);
    if (before?.digest !== digest || (wish.app && !before.apps.includes(wish.app))) {
      const apps = [...new Set([...(before?.apps ?? []), ...(wish.app ? [wish.app] : [])])];
      const builtAtMs = records.step(key)?.builtAtMs ?? 0;
      const more = { key, definition: image, digest, state: "ready", failure: undefined, apps, builtAtMs };
      records.keep(ImageRecord.fromPartial({ ...before, ...more }));
    }
    nodes.grant(key, digest);
    const state = { key, image: brief(image), state: "ready", digest, step: image.steps.length };
    wish.listener?.(ImageBuild.fromPartial(state));
  }

  function want(image: ImageRef, wish: Wish): void {
    const key = imageKey(image);
    if (key === hostImageKey || image.digest) return;
    const keys = [...image.steps.keys(), image.steps.length].map((steps) => imageKey(image, steps));
    const digest = records.digestOf(key);
    const running = builds.get(key);
    if (digest && !wish.anew && !running) {
      known({ key, image }, digest, wish);
      return;
    }
    if (wish.anew && !running) for (const each of keys) records.forgetStep(each);
    const build: Build = running ?? {
      ...{ key, image, keys, startedAtMs: clock.now(), apps: new Set(), listeners: new Set(), credentials: new Map() },
      ...{ lines: [], dropped: 0, node: undefined, step: 0, losses: 0, unwanted: false },
    };
    builds.set(key, build);
    build.unwanted = false;
    if (wish.app) build.apps.add(wish.app);
    if (wish.listener) build.listeners.add(wish.listener);
    for (const credential of wish.credentials) build.credentials.set(credential.registry, credential);
    if (running) wish.listener?.(event(build, { lines: build.lines }));
    else tell(build);
    turn.wake();
  }

  function start(): void {
    if (builds.size === 0) return;
    const able = [...nodes.all.values()].map((node) => ({
      ...{ name: node.name, cores: node.cores, cpuUsed: node.info.cpuUsed, images: node.images },
      ready: node.info.state !== "lost",
    }));
    const plan = planBuilds([...builds.values()], able, records.digestOf);
    for (const { build, digest } of plan.done) finish(build, { digest });
    for (const { build, node: name, stepsDone, from } of plan.starts) {
      build.node = name;
      build.step = Math.min(stepsDone + 1, build.image.steps.length);
      if (from === "") build.step = 0;
      const credentials = [...build.credentials.values()];
      const node = nodes.all.get(name)!;
      turn.toNode(() => node.send({ $case: "resolve", value: { image: build.image, stepsDone, from, credentials } }));
      tell(build);
      log.info({ image: imageLabel(build.image), node: name, stepsDone }, "an image is being built");
    }
  }

  /** Ends a build that nobody wants, unless another one waits for the step that it is at. */
  function giveUpUnwanted(build: Build): void {
    const step = build.keys[build.step] as string;
    if (!build.unwanted || (build.node && [...builds.values()].some((other) => other !== build && other.keys.includes(step))))
      return;
    builds.delete(build.key);
    const node = build.node && nodes.all.get(build.node);
    if (!node) return;
    log.info({ image: imageLabel(build.image), node: node.name }, "a build is given up: nobody wants its image any more");
    turn.toNode(() => node.send({ $case: "giveUpImage", value: { image: build.image } }));
  }

  /** The last word on a build: what has come of it is recorded before anybody is told. */
  function finish(build: Build, outcome: { digest?: string; info?: ImageInfo; failure?: Failure }): void {
    builds.delete(build.key);
    const { digest = "", info, failure } = outcome;
    const before = records.image(build.key);
    const { files = 0, bytes = 0, storedBytes = 0 } = info ?? before ?? {};
    const apps = [...new Set([...(before?.apps ?? []), ...build.apps])];
    const { key, image: definition, node = "", lines, dropped: linesDropped } = build;
    const state = failure ? "failed" : "ready";
    const log = lines.length > 0 ? lines : failure ? [] : (before?.log ?? []); // a build that ran no step keeps the log of the one that did
    records.keep(
      ImageRecord.fromPartial({
        ...{ key, definition, digest, state, files, bytes, storedBytes, builtAtMs: clock.now(), node, failure, log },
        ...{ linesDropped, apps },
      }),
    );
    if (digest) nodes.grant(key, digest);
    tell(build, { state, digest, failure, node });
    turn.wake();
  }

  function resolved(node: Node, { requested, image, failure }: ImageResolved): void {
    if (!requested) return;
    const key = imageKey(requested);
    const build = builds.get(key);
    if (failure || !image?.digest) {
      if (build?.node !== node.name) return; // it has been given to another node
      const cause = failure ?? Failure.fromPartial({ kind: "infrastructure", message: "the node gave no reason" });
      log.warn({ image: imageLabel(requested), node: node.name, message: cause.message }, "an image could not be built");
      finish(build, { failure: cause });
      return;
    }
    const { digest } = image;
    if (!records.step(key)) records.keepStep(key, { digest, ms: 0, builtAtMs: clock.now() });
    if (build) finish(build, { digest, info: image });
    else nodes.grant(key, digest); // asked for by a control before this one
    turn.wake();
  }

  /** A step that prints nothing is heard of by the progress of its node alone. */
  function begun({ what, node, phase, done, total }: Progress): void {
    if (!phase.startsWith("step ")) return;
    const candidates = [...builds.values()].filter(
      ({ image, node: on }) => on === node && image.steps.length === total && what === `image ${imageLabel(image)}`,
    );
    const [build] = candidates;
    if (candidates.length !== 1 || !build || build.step === done + 1) return;
    build.step = done + 1;
    tell(build);
  }

  function keepLine(build: Build, line: BuildLine): void {
    build.lines.push(line);
    if (build.lines.length <= linesKept) return;
    build.lines.shift();
    build.dropped++;
  }

  return {
    want,
    resume(image, app) {
      if (!records.image(imageKey(image))?.failure) want(image, { app, credentials: [] });
    },
    start,
    resolved,
    retain(app, keys) {
      for (const build of builds.values()) {
        if (keys.has(build.key) || !build.apps.delete(app)) continue;
        build.unwanted = build.apps.size + build.listeners.size === 0;
        giveUpUnwanted(build);
      }
    },
    unlisten(listener) {
      for (const build of builds.values()) build.listeners.delete(listener);
    },
    stepBuilt({ requested, stepsDone, digest, ms }) {
      if (!requested) return;
      const key = imageKey(requested, stepsDone);
      records.keepStep(key, { digest, ms, builtAtMs: clock.now() });
      nodes.grant(key, digest);
      const build = builds.get(imageKey(requested));
      if (build) {
        build.step = Math.min(stepsDone + 1, build.image.steps.length);
        tell(build);
        giveUpUnwanted(build);
      }
      turn.wake(); // another build may have waited for that step
    },
    said({ requested, step, lines, timeMs }) {
      const build = requested && builds.get(imageKey(requested));
      if (!build) return;
      build.step = step;
      const fresh = lines.map((text) => ({ step, text: text.slice(0, lineCharacters), timeMs }));
      for (const line of fresh) keepLine(build, line);
      tell(build, { lines: fresh });
    },
    nodeLost(node) {
      for (const build of builds.values()) {
        if (build.node !== node.name) continue;
        build.node = undefined;
        if (++build.losses <= lossesAllowed) {
          tell(build);
          continue;
        }
        const message = `image ${imageLabel(build.image)}: its build was lost with its node ${build.losses} times, at last with ${node.name}`;
        finish(build, { failure: Failure.fromPartial({ kind: "infrastructure", message }) });
      }
    },
    failureOf: (key) => (builds.has(key) ? undefined : records.image(key)?.failure),
    of(app, used) {
      const running = [...builds.values()].filter((build) => build.apps.has(app));
      const failed = records.images().filter(({ key, failure }) => failure && used.has(key) && !builds.has(key));
      return [...running.map((build) => event(build, { lines: build.lines })), ...failed.map((record) => failedBuild(record))];
    },
    progress(progress) {
      const { what, node, unit, phase } = progress;
      if (!what.startsWith("image ")) return progress;
      const amount = `${node}\n${what}`;
      const ended = phase === "ready" || phase === "failed";
      // How steps go, and why one failed, is told by `tell`; a download or a capture that went on until then ends.
      if (ended && (unit === "steps" || phase === "failed"))
        return amounts.delete(amount) ? { ...progress, phase: "ready" } : undefined;
      if (unit === "steps") {
        begun(progress);
        return undefined;
      }
      if (!ended) amounts.add(amount);
      return progress;
    },
    stateOf(key) {
      const build = builds.get(key);
      return build && (build.node === undefined ? "waiting" : "building");
    },
    get running() {
      return builds.size;
    },
  };
}

const failedBuild = ({ key, definition, node, log, failure, builtAtMs, apps }: ImageRecord): ImageBuild =>
  ImageBuild.fromPartial({
    ...{ key, node, lines: log, failure, startedAtMs: builtAtMs, apps, state: "failed", step: log.at(-1)?.step ?? 0 },
    ...(definition && { image: brief(definition) }),
  });
