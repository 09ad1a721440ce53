// Blobs in pieces: in any order, two at once, with holes; whole ones are in the store, and wrong ones never.

import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { openPartialBlobs, partialMapPath, partialPath, pieceBytesOf } from "../../base/partial-blob.ts";

async function workplace() {
  const folder = await mkdtemp(join(tmpdir(), "hob-partial-"));
  const store = openContentFolder(folder, { durable: false });
  return {
    store,
    partial: await openPartialBlobs(store, { durable: true }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const pieceBytes = pieceBytesOf(0);
const content = Buffer.concat([Buffer.alloc(pieceBytes, "one"), Buffer.alloc(pieceBytes), Buffer.alloc(1000, "three")]);
const blob = { digest: sha256(content), size: content.length };
const piece = (index: number): Buffer => content.subarray(index * pieceBytes, (index + 1) * pieceBytes);

it("becomes a blob of the store with its last piece, wherever that lies, and keeps holes as holes", async () => {
  await using place = await workplace();
  const { store, partial } = place;
  expect(await partial.put(blob, 2, piece(2))).toBe(false);
  expect([...(partial.arrived(blob.digest) ?? [])]).toEqual([0, 0, 1]);
  expect(store.has(blob.digest)).toBe(false);
  expect((await stat(partialPath(store.root, blob.digest))).size).toBe(blob.size);
  expect(await Promise.all([partial.put(blob, 1, "zeros"), partial.put(blob, 0, piece(0))])).toContain(true);
  expect((await readFile(store.path(blob.digest))).equals(content)).toBe(true);
  const { blocks } = await stat(store.path(blob.digest));
  expect(blocks * 512).toBeLessThan(2 * pieceBytes);
  expect(await partial.put(blob, 0, piece(0))).toBe(true);
  expect(partial.arrived(blob.digest)).toBeUndefined();
  expect(await readdir(join(store.root, "partial"))).toEqual(["boot"]);
});

it("is thrown away when its pieces make another content, and refuses a piece that does not fit", async () => {
  await using place = await workplace();
  const { store, partial } = place;
  await partial.put(blob, 0, piece(0));
  await partial.put(blob, 1, Buffer.alloc(pieceBytes, "x"));
  await expect(partial.put(blob, 2, piece(2))).rejects.toMatchObject({ kind: "corrupt" });
  expect(store.has(blob.digest)).toBe(false);
  expect(existsSync(partialMapPath(store.root, blob.digest))).toBe(false);
  await expect(partial.put(blob, 0, piece(2))).rejects.toThrow("piece 0 of blob");
  await expect(partial.put(blob, 3, piece(2))).rejects.toThrow("piece 3 of blob");
});

// In the field: whoever opened a new store second removed what the first had put there meanwhile, and it was fetched again.
it("keeps what is put while others open the same store", async () => {
  await using place = await workplace();
  await rm(join(place.store.root, "partial"), { recursive: true });
  const put = async (index: number): Promise<boolean> =>
    (await openPartialBlobs(place.store, { durable: false })).put(blob, index, piece(index));
  expect(await Promise.all([put(0), put(1), put(2)])).toContain(true);
});

it("goes on where it was, but not with what another boot has left", async () => {
  await using place = await workplace();
  const { store, partial } = place;
  await partial.put(blob, 0, piece(0));
  const again = await openPartialBlobs(store, { durable: false });
  expect([...(again.arrived(blob.digest) ?? [])]).toEqual([1, 0, 0]);
  await writeFile(join(store.root, "partial/boot"), "another");
  const later = await openPartialBlobs(store, { durable: false });
  expect(later.arrived(blob.digest)).toBeUndefined();
  expect(existsSync(partialPath(store.root, blob.digest))).toBe(false);
});
