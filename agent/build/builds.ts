// ⑤ Images in code, built on this node: a base, then each step over what the one before has left. What a step leaves is told at once.

import type { Clock } from "../../base/clock.ts";
import { type ErrorKind, HobError, sentenceOf } from "../../base/errors.ts";
import { openLease } from "../../base/store-work.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { importFromRegistry } from "../../fusefs/image/import/from-registry.ts";
import { importTar } from "../../fusefs/image/import/tar.ts";
import { DIGEST_BYTES, type Manifest } from "../../fusefs/image/manifest.ts";
import type { ResolveImage } from "../../proto/gen/hob/v1/agents.ts";
import type { Progress } from "../../proto/gen/hob/v1/calls.ts";
import type { Failure, ImageRef, ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { imageLabel, stepLabel } from "../../proto/image.ts";
import { failure } from "../failures.ts";
import type { Message } from "../outbox.ts";
import { type BuildOutput, createBuildOutput } from "./build-log.ts";
import { type DebianHost, makeDebian } from "./debian.ts";
import { explainBase } from "./explain.ts";
import { readNodeConfig } from "./node-config.ts";
import { buildStep, type StepBefore, type StepsHost } from "./step.ts";
import { type UploadClient, upload } from "./upload.ts";

export interface BuildsHost extends StepsHost {
  client(): UploadClient;
  debian: DebianHost;
  /** The digest of this node's own image. */
  captureHost(): Promise<string>;
  send(message: Message): void;
  progress(progress: Omit<Progress, "node">): void;
  clock: Clock;
}

/** What a failed build leaves to be said. */
class BuildFailed extends HobError {
  /** Of what it printed. */
  readonly lastLines: readonly string[];

  constructor(cause: unknown, lastLines: readonly string[]) {
    super(cause instanceof HobError ? cause.kind : "internal", sentenceOf(cause), { cause });
    this.lastLines = lastLines;
  }
}

const buildsAtOnce = 2;
const linesInFailure = 20;
/** A large image of a registry takes minutes: its log says how far it is. */
const lineEveryMs = 3_000;

/** Resolves with the digest of the image, which control has by then. */
export type Build = (order: ResolveImage, signal: AbortSignal) => Promise<string>;

/** What an image's author can mend is the image's failure; all else is the node's. */
const ofTheImage = new Set<ErrorKind>(["function", "usage", "notFound", "precondition", "corrupt"]);

export function imageFailure(error: unknown, message: string): Failure {
  const kind = error instanceof HobError && ofTheImage.has(error.kind) ? "image" : "infrastructure";
  return { ...failure(kind, message), traceback: error instanceof BuildFailed ? error.lastLines.join("\n") : "" };
}

/** Builds what is asked for, a few at a time. */
export function createBuilds(host: BuildsHost): Build {
  const { store, clock } = host;
  const waiting = new Set<() => void>(); // in order
  let running = 0;

  async function inTurn<T>(image: ImageRef, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    while (running >= buildsAtOnce) {
      say(image, 0, "waiting for another build");
      const turn = Promise.withResolvers<void>();
      waiting.add(turn.resolve);
      signal.addEventListener("abort", () => turn.resolve(), { once: true });
      await turn.promise;
      waiting.delete(turn.resolve); // who was given up would take the turn of one who waits
      if (signal.aborted) wakeNext();
      signal.throwIfAborted();
    }
    running++;
    try {
      return await work();
    } finally {
      running--;
      wakeNext();
    }
  }

  function wakeNext(): void {
    const [next] = waiting;
    if (!next || running >= buildsAtOnce) return;
    waiting.delete(next);
    next();
  }

  function say(image: ImageRef, done: number, phase: string): void {
    host.progress({
      what: `image ${imageLabel(image)}`,
      phase,
      done,
      total: image.steps.length,
      unit: "steps",
      message: "",
      image: "",
    });
  }

  function outputOf(requested: ImageRef, step: number): BuildOutput {
    return createBuildOutput((lines) => host.send({ $case: "buildLog", value: { requested, step, lines, timeMs: clock.now() } }));
  }

  async function makeBase(order: ResolveImage, image: ImageRef, output: BuildOutput, signal: AbortSignal): Promise<string> {
    const { source, reference } = image;
    if (source === "host") return await host.captureHost();
    if (source === "debian") {
      const config = await readNodeConfig();
      const wish = { suite: reference, config, output: (bytes: Buffer) => output.write("stderr", bytes) };
      const make = (tar: AsyncIterable<Uint8Array>) => importTar(tar, { store, signal, name: `debian ${reference}` });
      return (await makeDebian(host.debian, wish, make, signal)).digest;
    }
    if (source !== "oci") throw new HobError("usage", `image source "${source}" is not one of: host, debian, oci`);
    let saidAtMs = 0;
    let linedAtMs = clock.now();
    const progress = (done: number, total: number): void => {
      if (clock.now() - linedAtMs > lineEveryMs) {
        linedAtMs = clock.now();
        output.line(`${Math.floor(done / 1e6)} of ${Math.ceil(total / 1e6)} MB have arrived`);
      }
      if (clock.now() - saidAtMs < 100) return;
      saidAtMs = clock.now();
      host.progress({
        what: `image ${imageLabel(image)}`,
        phase: "importing",
        done,
        total,
        unit: "bytes",
        message: "",
        image: "",
      });
    };
    return (await importFromRegistry(reference, { store, signal, credentials: order.credentials, progress })).digest;
  }

  /** Tells of an image once control has all of it; `before` is what it stands upon. */
  async function built(
    which: { image: ImageRef; done: number; beginMs: number },
    left: StepBefore,
    before: Manifest | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    await upload(host.client(), store, newDigests(left, before), signal);
    const ms = clock.now() - which.beginMs;
    host.send({ $case: "imageStep", value: { requested: which.image, stepsDone: which.done, digest: left.digest, ms } });
  }

  async function open(digest: string): Promise<StepBefore> {
    await host.content.ensure([digest]);
    return { digest, manifest: decodeManifest(store.read(digest)) };
  }

  async function base(order: ResolveImage, image: ImageRef, signal: AbortSignal): Promise<StepBefore> {
    if (order.from) return await open(order.from);
    const beginMs = clock.now();
    const output = outputOf(image, 0);
    say(image, 0, image.source === "oci" ? "importing" : "making the base");
    try {
      const made = await open(await makeBase(order, image, output, signal));
      output.flush();
      if (image.source !== "host") await built({ image, done: 0, beginMs }, made, undefined, signal);
      return made;
    } catch (error) {
      output.flush();
      signal.throwIfAborted();
      throw new BuildFailed(explainBase(image, error, output.last()), output.last().slice(-linesInFailure));
    }
  }

  async function build(order: ResolveImage, image: ImageRef, signal: AbortSignal): Promise<string> {
    using _lease = openLease(store.root); // until control knows what reaches the new contents
    let current = await base(order, image, signal);
    for (let index = order.from ? order.stepsDone : 0; index < image.steps.length; index++) {
      signal.throwIfAborted();
      const beginMs = clock.now();
      const step = image.steps[index] as ImageStep;
      say(image, index, `step ${index + 1} of ${image.steps.length}: ${stepLabel(step)}`);
      const output = outputOf(image, index + 1);
      try {
        const next = await open(await buildStep(host, { image, index }, current, output, signal));
        await built({ image, done: index + 1, beginMs }, next, current.manifest, signal);
        current = next;
      } catch (error) {
        output.flush();
        signal.throwIfAborted();
        throw new BuildFailed(error, output.last().slice(-linesInFailure));
      }
    }
    return current.digest;
  }

  return (order, signal) => {
    const image = order.image as ImageRef;
    return inTurn(image, signal, () => build(order, image, signal));
  };
}

/** The digests of an image that the one before did not have: the manifest's own, and contents. */
function newDigests({ digest, manifest }: StepBefore, before: Manifest | undefined): string[] {
  const known = new Set(before ? contents(before) : []);
  return [digest, ...[...contents(manifest)].filter((each) => !known.has(each))];
}

function* contents({ digests }: Manifest): Iterable<string> {
  for (let at = 0; at < digests.length; at += DIGEST_BYTES) yield digests.toString("hex", at, at + DIGEST_BYTES);
}
