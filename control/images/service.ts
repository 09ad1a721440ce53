// ④⑧ The Images service: what people ask of images by hand.

import type { ServerWritableStream } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { type ContentFolder, type Digest, isDigest } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import {
  type BuildImageRequest,
  BuiltStep,
  type ImageBuild,
  ImageDetails,
  ImageRecord,
  type ImagesServer,
} from "../../proto/gen/hob/v1/images.ts";
import { hostImageKey, hostImageRef, imageKey, imageLabel } from "../../proto/image.ts";
import { toServiceError } from "../../proto/status.ts";
import type { Clients } from "../clients.ts";
import type { Nodes } from "../nodes.ts";
import type { Registry } from "../registry.ts";
import type { Turn } from "../turn.ts";
import type { Builds } from "./builds.ts";
import { findGarbage, removeGarbage, sizeOf } from "./collect.ts";
import { type Kept, keysOf } from "./kept.ts";
import { contentsOf } from "./reach.ts";
import type { ImageRecords } from "./records.ts";

interface ServiceParts {
  records: ImageRecords;
  builds: Builds;
  kept: Kept;
  blobs: ContentFolder;
  nodes: Pick<Nodes, "all" | "grant" | "revoke">;
  registry: Pick<Registry, "apps" | "current">;
  clients: Pick<Clients, "enter">;
  turn: Pick<Turn, "wake" | "toClient">;
  clock: Clock;
}

const fewestDigits = 4;
const withoutKey = (key: string): string => key.replace(/^spec:/, "");

export function createImagesService(parts: ServiceParts): ImagesServer {
  const { records, builds, kept, blobs, nodes, registry, clients, turn, clock } = parts;

  /** Records, and the nodes' own images, which have none. */
  function all(): ImageRecord[] {
    const listed = records.images().map((record) => ({ ...record, state: builds.stateOf(record.key) ?? record.state }));
    const own = new Map<Digest, ImageRecord>();
    for (const node of nodes.all.values()) {
      const digest = node.images.get(hostImageKey);
      const info = node.info.images.find((image) => image.digest === digest);
      if (!digest || !info) continue;
      const { files, bytes, storedBytes, capturedAtMs: builtAtMs } = info;
      const more = { files, bytes, storedBytes, builtAtMs, node: node.name };
      own.set(digest, ImageRecord.fromPartial({ key: hostImageKey, definition: hostImageRef, digest, state: "ready", ...more }));
    }
    return [...own.values(), ...listed];
  }

  /** The image that a digest or a key begins like this. */
  function named(text: string): ImageRecord {
    const matches = all().filter(({ key, digest }) => digest.startsWith(text) || withoutKey(key).startsWith(withoutKey(text)));
    const [found, ...others] = text.length < fewestDigits ? [] : matches;
    if (found && others.every(({ digest }) => digest === found.digest)) return found;
    const remedy = "hob images ls lists what there is";
    if (text.length < fewestDigits) throw new HobError("usage", `"${text}" is too short for an image's digest`, { remedy });
    throw new HobError("notFound", found ? `${matches.length} images begin with ${text}` : `there is no image ${text}`, {
      remedy: found ? "give more digits" : remedy,
    });
  }

  const used = (): Set<string> =>
    new Set(registry.apps().flatMap((app) => registry.current(app).map(({ spec }) => imageKey(spec?.image ?? hostImageRef))));

  function details(record: ImageRecord): ImageDetails {
    const { digest, definition } = record;
    const steps = definition && record.key !== hostImageKey ? keysOf(definition).map((key) => records.step(key)) : [];
    const known = { record, steps: steps.map((step) => step ?? BuiltStep.create()), trace: records.trace(digest) };
    if (!digest || !blobs.has(digest)) return ImageDetails.fromPartial(known);
    const { digests } = contentsOf(blobs, digest);
    const others = [...new Set(all().map((other) => other.digest))].filter(
      (other) => other && other !== digest && blobs.has(other),
    );
    const shared = new Set<Digest>();
    const sharedWith = others.filter((other) => {
      const theirs = new Set(contentsOf(blobs, other).digests);
      const common = digests.filter((each) => theirs.has(each));
      for (const each of common) shared.add(each);
      return common.length > 0;
    });
    const bytesOf = (which: Iterable<Digest>): number => [...which].reduce((sum, each) => sum + sizeOf(blobs, each), 0);
    const sums = { blobs: digests.length, blobBytes: bytesOf(digests), sharedBytes: bytesOf(shared), sharedWith };
    return ImageDetails.fromPartial({ ...known, ...sums });
  }

  /** Its steps are forgotten too, but for those that another image has. */
  function forget(record: ImageRecord): void {
    records.remove(record.key);
    nodes.revoke(record.key);
    const kept = new Set(records.images().flatMap(({ definition }) => (definition ? keysOf(definition) : [])));
    for (const key of record.definition ? keysOf(record.definition) : []) {
      if (kept.has(key)) continue;
      const digest = records.step(key)?.digest;
      if (digest) records.keepRemoved(digest);
      records.forgetStep(key);
      nodes.revoke(key);
    }
    if (record.digest) records.keepRemoved(record.digest);
    turn.wake();
  }

  function remove(text: string): ImageRecord {
    const record = named(text);
    if (record.key === hostImageKey) {
      throw new HobError("precondition", "the host's image is each node's own: it goes with the node");
    }
    const users = registry
      .apps()
      .filter((app) => registry.current(app).some(({ spec }) => spec?.image && imageKey(spec.image) === record.key));
    if (users.length > 0) {
      throw new HobError(
        "precondition",
        `image ${imageLabel(record.definition ?? hostImageRef)} is used by app ${users.join(", ")}`,
        {
          remedy: "change or remove its functions first",
        },
      );
    }
    if (builds.stateOf(record.key))
      throw new HobError("precondition", "the image is being built", { remedy: "wait until it is done" });
    forget(record);
    return record;
  }

  const digestsOf = ({ digest, definition }: ImageRecord): Digest[] =>
    [digest, ...(definition ? keysOf(definition).map((key) => records.step(key)?.digest) : [])].filter(
      (each) => !!each,
    ) as Digest[];

  async function collect(dryRun: boolean, unused: boolean): Promise<{ images: number; blobs: number; bytes: number }> {
    if (builds.running > 0) throw new HobError("precondition", "an image is being built", { remedy: "wait until it is done" });
    const inUse = used();
    const idle = unused ? records.images().filter(({ key }) => !inUse.has(key)) : [];
    if (!dryRun) for (const record of idle) forget(record);
    const leaving = new Set(dryRun ? idle.map(({ key }) => key) : []);
    const { images, blobs: wanted } = kept.wanted(leaving, dryRun && unused ? inUse : undefined);
    const others = kept.byOthers();
    const wouldGo = dryRun ? idle.flatMap(digestsOf) : []; // forgotten on purpose, as those that are
    const roots = {
      images: images.union(others),
      removed: new Set([...records.removed(), ...wouldGo]),
      blobs: wanted.union(others),
    };
    const garbage = await findGarbage(blobs, roots, clock.now());
    if (!dryRun) await removeGarbage(blobs, garbage);
    if (!dryRun) for (const digest of records.removed()) records.forgetRemoved(digest);
    kept.say();
    turn.wake();
    return { images: garbage.images.length, blobs: garbage.blobs.length, bytes: garbage.bytes };
  }

  function build(stream: ServerWritableStream<BuildImageRequest, ImageBuild>): void {
    const leave = clients.enter();
    const { image, anew, credentials } = stream.request;
    const listener = (event: ImageBuild): void => {
      stream.write(event);
      if (event.state !== "ready" && event.state !== "failed") return;
      // The last word goes out once it is recorded.
      turn.toClient(() => stream.end());
    };
    const close = (): void => {
      leave();
      builds.unlisten(listener);
    };
    stream.once("cancelled", close);
    stream.once("finish", close);
    if (image && imageKey(image) !== hostImageKey && !image.digest) builds.want(image, { app: "", credentials, anew, listener });
    else
      stream.emit("error", toServiceError(new HobError("usage", "that image is not built: each node makes its own host image")));
  }

  async function keep(image: ImageRecord | undefined): Promise<ImageRecord> {
    const { definition, digest = "" } = image ?? {};
    if (!definition || !isDigest(digest)) throw new HobError("usage", "an image to keep has a definition and a digest");
    if (!blobs.has(digest))
      throw new HobError("notFound", `control lacks image ${digest.slice(0, 12)}`, { remedy: "put it first" });
    const lacking = contentsOf(blobs, digest).digests.filter((each) => !blobs.has(each));
    if (lacking.length > 0)
      throw new HobError("notFound", `control lacks ${lacking.length} blobs of image ${digest.slice(0, 12)}`);
    const key = imageKey({ ...definition, digest: "" });
    const record = ImageRecord.fromPartial({ ...image, key, state: "ready", builtAtMs: clock.now() });
    records.keep(record);
    records.keepStep(key, { digest, ms: 0, builtAtMs: clock.now() });
    nodes.grant(key, digest);
    turn.wake();
    return record;
  }

  /** Answers once what was changed is recorded. */
  function answer<T>(work: () => T | Promise<T>, callback: (error: Error | null, value?: T) => void): void {
    Promise.resolve()
      .then(work)
      .then(
        (value) => turn.toClient(() => callback(null, value)),
        (error: unknown) => callback(toServiceError(error)),
      );
  }

  return {
    build,
    keep: ({ request }, callback) => answer(() => keep(request.image), callback as never),
    list: (_call, callback) => callback(null, { images: all() }),
    show: ({ request }, callback) => answer(() => details(named(request.image)), callback as never),
    remove: ({ request }, callback) =>
      answer(() => {
        const { digest, key } = remove(request.image);
        return { digest, key };
      }, callback as never),
    collect: ({ request }, callback) => answer(() => collect(request.dryRun, request.unused), callback as never),
  };
}
