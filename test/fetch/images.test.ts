// ⑤ Images that arrive while they are read: neighbours and following chunks come along, traces are replayed, what was begun is finished.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { decodeTrace, encodeTrace } from "../../agent/fetch/trace.ts";
import { sha256 } from "../../base/content-folder.ts";
import { partialMapPath, partialPath, pieceBytesOf } from "../../base/partial-blob.ts";
import type { FetchAnswer } from "../../proto/fetch-serving.ts";
import { bytesOf, makeFolder, makeImage, openTestNode, serveContents, type TestControl } from "./places.ts";

const large = bytesOf("large", 64 << 20);
const chunkBytes = pieceBytesOf(large.length);
const chunkOf = ({ offset }: { offset: number }): number => Math.floor(offset / chunkBytes);

/** The chunks of that content that were asked for, each once, in order. */
const chunksAsked = (control: TestControl, digest: string): number[] => [
  ...new Set(control.wants.filter((want) => want.digest === digest).map(chunkOf)),
];

test("a file of 64 MiB is read chunk by chunk, the following ones before they are asked for; what a node had begun it finishes after a restart", async () => {
  using folder = makeFolder();
  const zeros = Buffer.concat([bytesOf("head", chunkBytes), Buffer.alloc(20 * chunkBytes)]);
  const made = makeImage({ "model.bin": large, "sparse.bin": zeros });
  const digest = made.digestOf("model.bin");
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  {
    await using node = await openTestNode(folder.path, "a", control);
    await node.room.images.begin(made.image);
    await node.room.images.fetch(digest, 99); // somewhere: those around it come along
    await expect.poll(() => chunksAsked(control, digest)).toEqual([99, 96, 97, 98]);
    await node.room.images.fetch(digest, 0);
    await node.room.images.fetch(digest, 1);
    await node.room.images.fetch(digest, 2);
    await expect.poll(() => chunksAsked(control, digest)).toEqual(expect.arrayContaining([3, 4, 5, 6, 7, 8])); // nobody has read them yet
    expect(node.store.has(digest)).toBe(false);
    await node.room.images.fetch(made.digestOf("sparse.bin"));
    expect(sha256(node.store.read(made.digestOf("sparse.bin")))).toBe(sha256(zeros));
    expect(chunksAsked(control, made.digestOf("sparse.bin"))).toEqual([0]); // zeros are known
  }
  control.wants.length = 0;
  await using node = await openTestNode(folder.path, "a", control);
  await node.room.images.begin(made.image);
  await node.room.images.fetch(digest);
  expect(node.store.read(digest).equals(large)).toBe(true);
  const again = chunksAsked(control, digest);
  for (const chunk of [99, 0, 1, 2]) expect(again).not.toContain(chunk);
  expect(existsSync(join(node.store.root, "partial", digest))).toBe(false);
});

test("a miss brings its small neighbours; the trace of the first start is fetched in order by the next node, ahead of reads", async () => {
  using folder = makeFolder();
  const names = Array.from({ length: 30 }, (_, index) => `lib/package/module${index}.py`);
  const files = Object.fromEntries([...names, "bin/python", "etc/late"].map((name) => [name, bytesOf(name, 3000)]));
  const made = makeImage({ ...files, "model.bin": large.subarray(0, 12 << 20) });
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const order = ["bin/python", names[20]!, names[3]!, "etc/late"];
  const seen = [...order.map((path) => ({ digest: made.digestOf(path) })), { digest: made.digestOf("model.bin"), chunk: 2 }];
  await using first = await openTestNode(folder.path, "a", control, { seen: async () => seen });
  const { images } = first.room;
  await images.begin(made.image);
  await images.fetch(made.digestOf("bin/python"));
  await images.fetch(made.digestOf(names[20]!));
  await images.fetch(made.digestOf(names[3]!)); // has come, or is coming, with its neighbour
  await images.fetch(made.digestOf("model.bin"), 2);
  expect(control.wants.filter(({ digest }) => digest === made.digestOf(names[3]!)).length).toBe(1);
  expect(new Set(control.wants.map(({ digest }) => digest))).not.toContain(made.digestOf("etc/late"));
  await images.answered(made.image);
  await expect.poll(() => first.traces.length).toBe(1);
  const figures = images.figures(made.image)!;
  expect(figures).toMatchObject({ firstReadBlobs: 5, firstReadBytes: 4 * 3000 + chunkBytes, firstReadHits: 1 });
  expect(figures.firstFetchedBytes).toBeGreaterThan(chunkBytes);

  control.trace = first.traces[0]!;
  control.wants.length = 0;
  await using second = await openTestNode(folder.path, "b", control);
  await second.room.images.begin(made.image);
  await expect.poll(() => second.store.has(made.digestOf("etc/late"))).toBe(true);
  await second.room.images.fetch(made.digestOf("model.bin"), 2);
  const asked = [...new Set(control.wants.map(({ digest }) => digest))];
  expect(asked).toEqual([made.image, ...order.map(made.digestOf), made.digestOf("model.bin")]);
  await second.room.images.answered(made.image);
  expect(second.traces).toEqual([]); // it had one

  for (const bad of [
    control.trace.subarray(0, 50),
    encodeTrace("1".repeat(64), []),
    encodeTrace(made.image, [{ index: 1, chunk: undefined, digest: "ab", bytes: 2 ** 60 }]),
  ]) {
    expect(() => decodeTrace(Buffer.from(bad), made.image)).toThrow(/the trace of image/);
  }
});

test("all that a trace names is on its way before the manifest is here, more than the link holds; a chunk that the image does not have is not kept", async () => {
  using folder = makeFolder();
  const [model, other] = [large.subarray(0, 12 << 20), bytesOf("other", 12 << 20)];
  const made = makeImage({ "bin/python": bytesOf("python", 3000), "model.bin": model });
  const foreign = sha256(other); // another image's, which a trace that lies puts in the model's place
  using control = await serveContents(join(folder.path, "c"), new Map([...made.blobs, [foreign, other]]));
  const digest = made.digestOf("model.bin");
  const index = [...made.blobs.keys()]
    .filter((blob) => blob !== made.image)
    .toSorted()
    .indexOf(digest); // an image's contents are sorted
  const chunks = [7, 2, 40, 41, 42, 90];
  const read = { index, digest, bytes: model.length };
  control.trace = encodeTrace(made.image, [
    { index: 1 - index, chunk: undefined, digest: made.digestOf("bin/python"), bytes: 3000 },
    ...chunks.map((chunk) => ({ ...read, chunk })),
    ...[
      { ...read, digest: foreign, chunk: 3 },
      { ...read, bytes: model.length - 1, chunk: 4 },
    ],
  ]);
  const chunksOnTheirWay = (): number[] => chunksAsked(control, digest).filter((chunk) => chunks.includes(chunk));
  const allAsked = Promise.withResolvers<void>();
  const plain = control.answer;
  control.answer = async (want, node) => {
    if (chunksOnTheirWay().length === chunks.length) allAsked.resolve();
    if (want.digest === made.image) await allAsked.promise;
    return plain(want, node);
  };
  await using node = await openTestNode(folder.path, "a", control);
  await node.room.images.begin(made.image);
  expect(chunksOnTheirWay()).toEqual(chunks);
  await Promise.all(chunks.map((chunk) => node.room.images.fetch(digest, chunk)));
  const arrived = readFileSync(partialMapPath(node.store.root, digest));
  expect([...arrived.keys()].filter((chunk) => arrived[chunk] === 1)).toEqual(chunks.toSorted((one, next) => one - next));
  const kept = readFileSync(partialPath(node.store.root, digest));
  for (const chunk of chunks) {
    const [from, to] = [chunk * chunkBytes, (chunk + 1) * chunkBytes];
    expect(kept.subarray(from, to).equals(model.subarray(from, to))).toBe(true);
  }
  expect(existsSync(partialPath(node.store.root, foreign))).toBe(false);
  expect(control.wants.filter((want) => want.digest === digest && chunks.includes(chunkOf(want))).length).toBe(chunks.length);
});

test("where reads of what is here are not seen, neighbours are given only to who asks until the first start is over, and bring none themselves", async () => {
  using folder = makeFolder();
  const names = ["lib/a.py", "lib/b.py", "lib/c.py"];
  const small = Object.fromEntries([...names, "etc/late"].map((name) => [name, bytesOf(name, 3000)]));
  const made = makeImage({ ...small, "lib/d.bin": bytesOf("d", 250 << 10), "lib/e.bin": bytesOf("e", 250 << 10) });
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const [a = "", b = "", c = ""] = names.map(made.digestOf);
  {
    await using node = await openTestNode(folder.path, "a", control, { readsPastUs: () => true });
    const { images } = node.room;
    await images.begin(made.image);
    await images.fetch(a);
    await expect.poll(() => existsSync(join(node.store.root, "held", c))).toBe(true);
    expect([a, b, c].map(node.store.has)).toEqual([true, false, false]);
    await images.fetch(b);
    expect(node.store.has(b)).toBe(true);
    await images.fetch(made.digestOf("etc/late")); // whatever b had brought would have been asked for before
    const asked = control.wants.map(({ digest }) => digest);
    expect(asked.filter((digest) => digest === b).length).toBe(1);
    expect(asked).not.toContain(made.digestOf("lib/e.bin")); // a second miss would have brought it: b was none
  }
  await using node = await openTestNode(folder.path, "a", control, { readsPastUs: () => true });
  expect(node.store.has(c)).toBe(true); // of an agent that died before
});

test("a read that fails is told with image, file and reason; the rest of an image comes when the node is idle, and not before", async () => {
  using folder = makeFolder();
  const made = makeImage({
    "usr/lib/gone.so": bytesOf("gone", 5000),
    "usr/share/a": bytesOf("a", 5000),
    "usr/share/model": large,
  });
  const gone = made.digestOf("usr/lib/gone.so");
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const honestly = control.answer;
  let whole = false;
  control.answer = (want, node) =>
    want.digest === gone && !whole ? ({ lacking: "it is gone" } satisfies FetchAnswer) : honestly(want, node);
  let idle = false;
  const clock = { now: () => performance.now() * 100 }; // seconds of quiet pass quickly
  const changes = { idle: () => idle, backfillBytesPerSecond: 1 << 30, clock };
  await using node = await openTestNode(folder.path, "a", control, changes);
  const { images } = node.room;
  await images.begin(made.image);
  const sentence = `image ${made.image.slice(0, 12)}: file /usr/lib/gone.so: blob ${gone.slice(0, 12)} could not be fetched: it is gone`;
  await expect(images.fetch(gone)).rejects.toThrow(sentence);
  expect(node.troubles).toEqual([sentence]);
  whole = true;
  const before = images.figures(made.image)!.localBytes;
  expect(before).toBe(0);
  idle = true;
  await expect.poll(() => images.figures(made.image)!.localBytes, { timeout: 30_000 }).toBe((64 << 20) + 10_000);
  expect(images.figures(made.image)!.storedBytes).toBe((64 << 20) + 10_000);
});
