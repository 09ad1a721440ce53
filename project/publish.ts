// ③ From what changed to the messages that control gets: one Publish an app, with what it carries inline, and the rest by Content before.

import type { Digest } from "../base/content-folder.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Blob, Failure, Patch, RegistryCredential, Version } from "../proto/gen/hob/v1/common.ts";
import type { ContentClient } from "../proto/gen/hob/v1/content.ts";
import type { Change, Publish, Published, StartCall } from "../proto/gen/hob/v1/registry.ts";
import { askMissing, putBlobs } from "./content.ts";
import { createLogins } from "./logins.ts";
import { differenceBetween, type Snapshot } from "./snapshot.ts";

const inlineBlobBytes = 1 << 20; // common.proto, SnapshotDelta.blobs
const inlineTotalBytes = 2 << 20;

interface PublishRequest {
  app: string;
  snapshot: Snapshot;
  versions: Version[];
  removed: string[];
  changes: Change[];
  calls: StartCall[];
  patches: Patch[];
  /** Contents in hand by digest: of this save's files, and the bundles. */
  contents: ReadonlyMap<Digest, Buffer>;
}

export interface PublishOutcome {
  id: number;
  app: string;
  bytesShipped: number;
  failure: Failure | undefined;
  /** It failed because the connection was lost: it is published again, in some form, once there is one. */
  lost: boolean;
}

export interface PublisherOptions {
  send(message: Publish): boolean;
  content(): ContentClient;
  /** Reads a file of the project again, in pieces. */
  read(path: string): Iterable<Buffer> | undefined;
  /** The last word on a publish. */
  settled(outcome: PublishOutcome): void;
}

export interface Publisher {
  /** Sends it now when everything is in hand, and otherwise once what control lacks has been put. Returns the publish's id. */
  publish(request: PublishRequest): number;
  /** Control's answer. */
  published(answer: Published): void;
  /** Control has this snapshot, so deltas of this app may build on it. */
  acknowledge(app: string, snapshot: Snapshot): void;
  /** The connection is lost: what is under way comes to nothing, and no base is known any more. */
  lost(): void;
}

interface Pending {
  id: number;
  request: PublishRequest;
  base: Snapshot | undefined;
  bytesShipped: number;
  credentials: RegistryCredential[];
  /** Put before, so not inline; control naming a digest as missing puts it here. */
  put: Set<Digest>;
  rounds: number;
}

/** Of the images that its new versions import. */
const referencesOf = ({ versions }: PublishRequest): string[] => [
  ...new Set(versions.flatMap(({ spec }) => (spec?.image?.source === "oci" ? [spec.image.reference] : []))),
];

const bundlesOf = ({ versions, patches }: PublishRequest): Digest[] =>
  [...versions, ...patches].map(({ bundle }) => bundle).filter(Boolean);

export function createPublisher(options: PublisherOptions): Publisher {
  const acknowledged = new Map<string, Snapshot>();
  const pending = new Map<number, Pending>();
  const unsent = new Map<string, Promise<void>>(); // by app: what must have been sent before the next may be
  const newest = new Map<string, number>(); // APP/FUNCTION → the latest publish that has a word on it
  const logins = createLogins();
  let ids = Date.now(); // rising over restarts of the client, so that no answer is taken for another's

  function publish(request: PublishRequest): number {
    const known = logins.known(referencesOf(request));
    const credentials = known ?? [];
    const entry = {
      id: ++ids,
      request,
      base: acknowledged.get(request.app),
      credentials,
      bytesShipped: 0,
      put: new Set<Digest>(),
      rounds: 0,
    };
    pending.set(entry.id, entry);
    const { app, versions, removed } = request;
    for (const name of [...versions.map((version) => version.function), ...removed]) newest.set(`${app}/${name}`, entry.id);
    const before = unsent.get(app);
    if (!before && entry.base && known && !inHand(entry).needsPut) send(entry);
    else {
      const sent = (before ?? Promise.resolve()).then(() => ship(entry));
      unsent.set(app, sent);
      void sent.then(() => unsent.get(app) === sent && unsent.delete(app));
    }
    return entry.id;
  }

  /** What the message carries: bundles first, then the changed files, as far as they fit. */
  function inHand({ request, base, put }: Pending): { bundles: Blob[]; blobs: Blob[]; needsPut: Digest[] | undefined } {
    const needsPut: Digest[] = [];
    let left = inlineTotalBytes;
    const seen = new Set<Digest>();
    const gather = (digests: Iterable<Digest>): Blob[] => {
      const inline: Blob[] = [];
      for (const digest of digests) {
        if (put.has(digest) || seen.has(digest)) continue;
        seen.add(digest);
        const data = request.contents.get(digest);
        if (!data || data.length > inlineBlobBytes || data.length > left) needsPut.push(digest);
        else {
          left -= data.length;
          inline.push({ digest, data });
        }
      }
      return inline;
    };
    const bundles = gather(bundlesOf(request));
    const blobs = gather(differenceBetween(base, request.snapshot).changed.map((file) => file.digest));
    return { bundles, blobs, needsPut: needsPut.length > 0 ? needsPut : undefined };
  }

  function send(entry: Pending): void {
    const { request, base } = entry;
    const { bundles, blobs } = inHand(entry);
    for (const { data } of [...bundles, ...blobs]) entry.bytesShipped += data.length;
    const { changed, removed } = differenceBetween(base, request.snapshot);
    const { app, changes, calls } = request;
    // A publish that had to be sent again does not undo a later one.
    const current = (name: string): boolean => newest.get(`${app}/${name}`) === entry.id;
    const versions = request.versions.filter((version) => current(version.function));
    const gone = request.removed.filter(current);
    const snapshot = { digest: request.snapshot.digest, base: base?.digest ?? "", changed, removed, blobs };
    const patches = request.patches
      .map((patch) => ({ ...patch, functions: patch.functions.filter(current) }))
      .filter((patch) => patch.functions.length > 0);
    options.send({
      id: entry.id,
      app,
      snapshot,
      versions,
      removed: gone,
      bundles,
      changes,
      calls,
      patches,
      credentials: entry.credentials,
    });
  }

  /** Asks what control lacks, puts what does not fit into the message, and sends that. */
  async function ship(entry: Pending): Promise<void> {
    if (!pending.has(entry.id)) return;
    try {
      const { request, base, put } = entry;
      entry.credentials = await logins.find(referencesOf(request));
      const wanted = [...bundlesOf(request), ...differenceBetween(base, request.snapshot).changed.map((file) => file.digest)];
      const lacking = new Set(await askMissing(options.content(), [...new Set(wanted)]));
      for (const digest of wanted) if (!lacking.has(digest)) put.add(digest);
      await putRest(entry, inHand(entry).needsPut ?? []);
      if (pending.has(entry.id)) send(entry);
    } catch (error) {
      fail(entry, sentenceOf(error));
    }
  }

  async function putRest(entry: Pending, digests: Digest[]): Promise<void> {
    if (digests.length === 0) return;
    const { request } = entry;
    const paths = new Map<Digest, string>();
    for (const file of request.snapshot.files.values()) paths.set(file.digest, file.path);
    entry.bytesShipped += await putBlobs(options.content(), digests, (digest) => {
      const held = request.contents.get(digest);
      if (held) return [held];
      const path = paths.get(digest);
      return path === undefined ? undefined : options.read(path);
    });
    for (const digest of digests) entry.put.add(digest);
  }

  function published(answer: Published): void {
    const entry = pending.get(answer.id);
    if (!entry) return;
    if (answer.failure) {
      settle(entry, answer.failure);
      return;
    }
    if (answer.missing.length === 0) {
      acknowledged.set(entry.request.app, entry.request.snapshot);
      settle(entry, undefined);
      return;
    }
    if (++entry.rounds > 3) {
      fail(entry, `control still lacks ${answer.missing.length} blobs after they were put`);
      return;
    }
    if (entry.base && answer.missing.includes(entry.base.digest)) {
      entry.base = undefined; // it has forgotten the base: the whole snapshot
      void ship(entry);
      return;
    }
    putRest(entry, answer.missing).then(
      () => pending.has(entry.id) && send(entry),
      (error) => fail(entry, sentenceOf(error)),
    );
  }

  function fail(entry: Pending, message: string, lost = false): void {
    settle(
      entry,
      { kind: "infrastructure", type: "", message: `publishing ${entry.request.app}: ${message}`, traceback: "", frames: [] },
      lost,
    );
  }

  function settle(entry: Pending, failure: Failure | undefined, lost = false): void {
    if (!pending.delete(entry.id)) return;
    options.settled({ id: entry.id, app: entry.request.app, bytesShipped: entry.bytesShipped, failure, lost });
  }

  return {
    publish,
    published,
    acknowledge: (app, snapshot) => void acknowledged.set(app, snapshot),
    lost() {
      acknowledged.clear();
      for (const entry of [...pending.values()]) fail(entry, "the connection to control was lost on the way", true);
    },
  };
}
