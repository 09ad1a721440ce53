// ⑤ One content at a time: what arrives wrong is never kept, and comes from elsewhere; what somebody waits for comes first.

import { join } from "node:path";
import { expect, test } from "vitest";
import { createFetcher } from "../../agent/fetch/fetcher.ts";
import type { Source } from "../../agent/fetch/source.ts";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { openPartialBlobs } from "../../base/partial-blob.ts";
import { memoryContent } from "../../proto/fetch-serving.ts";
import type { FetchPiece } from "../../proto/gen/hob/v1/content.ts";
import { bytesOf, makeFolder, openTestNode, serveContents } from "./places.ts";

const piece = (data: Buffer, last = true): Omit<FetchPiece, "id"> => ({
  ...{ data, last, lacking: "", elsewhere: undefined, squeezedFrom: 0 },
});

test.each([
  ["wrong", (data: Buffer) => Buffer.from(data).fill(0, 0, 1)],
  ["cut off", (data: Buffer) => data.subarray(0, data.length - 1)],
  ["too long", (data: Buffer) => Buffer.concat([data, data])],
])(
  "a content that arrives %s is thrown away and asked for again; when it never is right the fetch says so",
  async (_how, spoil) => {
    using folder = makeFolder();
    const data = bytesOf("content", 300_000);
    const digest = sha256(data);
    using control = await serveContents(join(folder.path, "c"), new Map());
    await using node = await openTestNode(folder.path, "a", control);
    let spoilt = 1;
    control.answer = ({ offset, length }) => {
      const right = data.subarray(offset, length > 0 ? offset + length : undefined);
      return { raw: [piece(spoilt-- > 0 ? spoil(right) : right)] };
    };
    for (const bytes of [data.length, 0]) {
      spoilt = 1;
      await node.room.fetcher.fetch({ digest, image: "", bytes }, "foreground");
      expect(node.store.read(digest).equals(data)).toBe(true);
      await node.store.remove(digest);
      spoilt = Number.POSITIVE_INFINITY;
      await expect(node.room.fetcher.fetch({ digest, image: "", bytes }, "foreground")).rejects.toMatchObject({
        kind: "corrupt",
      });
      expect(node.store.has(digest)).toBe(false);
    }
  },
);

test("concurrent fetches of one content are one; a content that control lacks fails with control's words; empty ones arrive too", async () => {
  using folder = makeFolder();
  const blobs = new Map([Buffer.from("small"), Buffer.alloc(0), bytesOf("large", 9 << 20)].map((data) => [sha256(data), data]));
  using control = await serveContents(join(folder.path, "c"), blobs);
  await using node = await openTestNode(folder.path, "a", control);
  const fetch = (digest: string) => node.room.fetcher.fetch({ digest, image: "", bytes: 0 }, "foreground");
  await Promise.all([...blobs.keys(), ...blobs.keys()].map(fetch));
  for (const [digest, data] of blobs) expect(node.store.read(digest).equals(data)).toBe(true);
  expect(control.wants.map(({ digest }) => digest).sort()).toEqual([...blobs.keys()].sort());
  await expect(fetch("1".repeat(64))).rejects.toThrow("control lacks blob 111111111111");
});

test("what a node sends wrong comes from control instead, and that node is not asked any more", async () => {
  using folder = makeFolder();
  const contents = ["one", "two", "three"].map((name) => bytesOf(name, 50_000));
  const blobs = new Map(contents.map((data) => [sha256(data), data]));
  using control = await serveContents(join(folder.path, "c"), blobs);
  using liar = await serveContents(join(folder.path, "liar"), new Map());
  liar.answer = () => ({ content: memoryContent(Buffer.alloc(50_000)) });
  const honestly = control.answer;
  control.answer = (want, name) =>
    want.direct ? honestly(want, name) : { elsewhere: { node: "b", address: `unix:${liar.socket}`, ticket: "t" } };
  await using node = await openTestNode(folder.path, "a", control);
  for (const digest of blobs.keys()) {
    await node.room.fetcher.fetch({ digest, image: "1".repeat(64), bytes: 50_000 }, "foreground");
    expect(sha256(node.store.read(digest))).toBe(digest);
  }
  expect(liar.wants.length).toBe(1);
  expect(control.wants.map(({ direct }) => direct)).toEqual([false, true, false, true, false, true]);
});

test("a node that is not there, or lacks the content, is left for control", async () => {
  using folder = makeFolder();
  const data = bytesOf("content", 1000);
  const digest = sha256(data);
  using control = await serveContents(join(folder.path, "c"), new Map([[digest, data]]));
  using empty = await serveContents(join(folder.path, "empty"), new Map());
  const honestly = control.answer;
  await using node = await openTestNode(folder.path, "a", control);
  for (const address of [`unix:${folder.path}/nobody`, `unix:${empty.socket}`]) {
    control.answer = (want, name) => (want.direct ? honestly(want, name) : { elsewhere: { node: "b", address, ticket: "" } });
    await node.room.fetcher.fetch({ digest, image: "1".repeat(64), bytes: 1000 }, "foreground");
    expect(node.store.has(digest)).toBe(true);
    await node.store.remove(digest);
  }
});

// In the field: a neighbour answered in 0.3 ms, and from then on control, 20 ms away, sent everything as it is: 30 MB instead of 13 for ten nodes.
test("how near a neighbour is says nothing of the way to control, over which contents stay squeezed", async () => {
  let nowMs = 0;
  using folder = makeFolder();
  const store = openContentFolder(folder.path, { durable: false });
  const blobs = new Map(["one", "two"].map((name) => bytesOf(name, 5_000)).map((data) => [sha256(data), data]));
  const squeezed: boolean[] = [];
  const source = (name: string, tookMs: number): Source => ({
    name,
    ask(want, events) {
      queueMicrotask(() => {
        if (name !== "control" || want.direct || squeezed.push(want.squeezed) > 1) {
          nowMs += tookMs;
          events.data(blobs.get(want.digest) as Buffer, true, 5_000 / 3);
        } else events.elsewhere({ node: "b", address: "", ticket: "" });
      });
      return { hurry() {}, cancel() {} };
    },
    end() {},
    [Symbol.dispose]() {},
  });
  using fetcher = createFetcher({
    keep: { store, partial: await openPartialBlobs(store, { durable: false }) },
    control: source("control", 20),
    peer: () => source("node b", 0.3),
    clock: { now: () => nowMs },
    log: silentLog,
  });
  fetcher.measured(20);
  for (const digest of blobs.keys()) await fetcher.fetch({ digest, image: "1".repeat(64), bytes: 5_000 }, "foreground");
  expect([...blobs.keys()].every((digest) => store.has(digest))).toBe(true);
  expect(squeezed).toEqual([true, true]);
  expect(fetcher.fetchedBytes).toBe(3_333); // whole bytes: a sample with a part of one could not be written, and that ended the agent
});

test("a read that waits overtakes what is fetched for later, of which little is on its way; what is wanted for later is hurried when it is read", async () => {
  using folder = makeFolder();
  const later = Array.from({ length: 40 }, (_, index) => bytesOf(`later ${index}`, 1 << 20));
  const now = bytesOf("now", 200_000);
  const blobs = new Map([...later, now].map((data) => [sha256(data), data]));
  using control = await serveContents(join(folder.path, "c"), blobs);
  await using node = await openTestNode(folder.path, "a", control);
  const { fetcher } = node.room;
  const arrived: string[] = [];
  const fetch = (data: Buffer, priority: "foreground" | "backfill"): Promise<void> => {
    const digest = sha256(data);
    return fetcher.fetch({ digest, image: "", bytes: data.length }, priority).then(() => void arrived.push(digest));
  };
  const all = later.map((data) => fetch(data, "backfill"));
  await all[0]; // it is under way
  const before = arrived.length;
  await Promise.all([fetch(now, "foreground"), fetch(later[39]!, "foreground")]);
  const overtook = arrived.slice(before);
  expect(overtook.length).toBeLessThan(12); // 40 are wanted
  expect(overtook).toContain(sha256(later[39]!));
  expect(fetcher.quietSinceMs).toBeDefined();
  await Promise.all(all);
  expect(arrived.length).toBe(42);
});
