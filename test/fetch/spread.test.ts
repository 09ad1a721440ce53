// ④⑤ Ten nodes that start one image at once: control gives about one copy, the nodes give the rest to each other.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createContent } from "../../agent/content.ts";
import { sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { createSpread, type SpreadNode } from "../../control/spread.ts";
import { memoryContent } from "../../proto/fetch-serving.ts";
import { peerTicket } from "../../proto/peer-ticket.ts";
import { bytesOf, makeFolder, makeImage, openTestNode, serveContents, type TestNode } from "./places.ts";

test("ten nodes take about one copy from control, chunks included, and a ticket opens nothing but its image", async () => {
  using folder = makeFolder();
  const files: Record<string, Buffer> = { "model.bin": bytesOf("model", 9 << 20) };
  for (let index = 0; index < 40; index++) files[`lib/${index}`] = bytesOf(`lib ${index}`, 20_000);
  const made = makeImage(files);
  const copy = [...made.blobs.values()].reduce((sum, { length }) => sum + length, 0);
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const known = new Map<string, SpreadNode>();
  const spread = createSpread({ get: (name) => known.get(name), all: () => known.values() }, () => performance.now());
  let given = 0;
  control.answer = (want, node) => {
    const data = made.blobs.get(want.digest)!;
    const elsewhere = spread.elsewhere(node, want, data.length);
    if (elsewhere) return { elsewhere };
    given += want.length || data.length;
    return { content: memoryContent(data) };
  };
  const nodes: TestNode[] = [];
  for (let index = 0; index < 10; index++) {
    const [name, peerKey] = [`node-${index}`, `key ${index}`];
    const node = await openTestNode(folder.path, name, control);
    node.room.peerKey(peerKey);
    known.set(name, { name, peerAddress: node.room.address, peerKey, whole: () => false });
    nodes.push(node);
  }
  await Promise.all(
    nodes.map(async ({ room: { images } }) => {
      await images.begin(made.image);
      await Promise.all(Object.keys(files).map((path) => images.fetch(made.digestOf(path))));
    }),
  );
  for (const { store } of nodes) for (const [digest, data] of made.blobs) expect(store.read(digest).equals(data)).toBe(true);
  expect(given / copy).toBeLessThanOrEqual(1.5);

  // What a node gives it gives for tickets of control only, and only of the image that they are for.
  const giver = nodes[0]!;
  const secret = Buffer.from("no image's");
  await giver.store.put(secret);
  await using stranger = await openTestNode(folder.path, "stranger", control);
  const ask = (digest: string, image: string, ticket: string): Promise<void> => {
    control.answer = (want) =>
      want.direct ? { lacking: "control says no" } : { elsewhere: { node: "giver", address: giver.room.address, ticket } };
    return stranger.room.fetcher.fetch({ digest, image, bytes: 0 }, "foreground");
  };
  const some = made.digestOf("lib/7");
  await expect(ask(some, made.image, peerTicket("another key", made.image))).rejects.toThrow("control says no");
  await expect(ask(sha256(secret), made.image, peerTicket("key 0", made.image))).rejects.toThrow("control says no");
  await ask(some, made.image, peerTicket("key 0", made.image));
  expect(stranger.store.has(some)).toBe(true);
  for (const node of nodes) await node[Symbol.asyncDispose]();
});

test("a node gives what has come to it and is held for whoever asks there first, and the manifest, whatever that is wanted for", async () => {
  using folder = makeFolder();
  const made = makeImage({ "lib/a": bytesOf("a", 3000), "lib/b": bytesOf("b", 3000) });
  const [a, b] = [made.digestOf("lib/a"), made.digestOf("lib/b")];
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  await using giver = await openTestNode(folder.path, "giver", control, { readsPastUs: () => true });
  giver.room.peerKey("key");
  await giver.room.images.begin(made.image);
  await giver.room.images.fetch(a); // b comes along
  await expect.poll(() => existsSync(join(giver.store.root, "held", b))).toBe(true);
  const ticket = peerTicket("key", made.image);
  control.answer = ({ direct }) =>
    direct ? { lacking: "control was asked" } : { elsewhere: { node: "giver", address: giver.room.address, ticket } };
  await using taker = await openTestNode(folder.path, "taker", control);
  await taker.room.fetcher.fetch({ digest: b, image: made.image, bytes: 3000 }, "foreground");
  expect(taker.store.read(b).equals(made.blobs.get(b)!)).toBe(true);
  await createContent(taker.store, taker.room.fetcher, silentLog).ensure([made.image], made.image);
  expect(taker.store.has(made.image)).toBe(true);
});
