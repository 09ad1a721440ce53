// ⑤ Contents on their way into the store: their digest, the digests of their pieces, and what is zeros.

import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { FINE_BLOB_BYTES, pieceBytesOf } from "../../base/partial-blob.ts";
import { createContentHasher, storeContent } from "../../fusefs/image/chunks.ts";
import { UNCHUNKED_BYTES } from "../../fusefs/image/manifest.ts";

const fine = pieceBytesOf(0);
const pattern = Buffer.alloc(FINE_BLOB_BYTES + 1);
for (let at = 0; at < pattern.length; at += 4093) pattern.writeUInt32LE(at, Math.min(at, pattern.length - 4));

it.each([
  0,
  1,
  fine - 1,
  fine,
  fine + 1,
  UNCHUNKED_BYTES,
  UNCHUNKED_BYTES + 1,
  UNCHUNKED_BYTES + fine,
  FINE_BLOB_BYTES,
  FINE_BLOB_BYTES + 1,
])("a content of %i bytes has its pieces' digests, whatever the parts that it came in", (size) => {
  const content = pattern.subarray(0, size);
  const bytes = pieceBytesOf(size);
  const chunks = Array.from({ length: Math.ceil(size / bytes) }, (_, index) =>
    sha256(content.subarray(index * bytes, (index + 1) * bytes)),
  );
  const expected = { digest: sha256(content), size, ...(size > UNCHUNKED_BYTES ? { chunks } : {}) };
  for (const partBytes of size < FINE_BLOB_BYTES ? [65_536, 1_000_003, pattern.length] : [1_000_003]) {
    const hasher = createContentHasher();
    for (let at = 0; at < size; at += partBytes) hasher.update(content.subarray(at, at + partBytes));
    expect(hasher.content()).toEqual(expected);
  }
});

it("a content is one blob, in which zeros take no space", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hob-chunks-"));
  const store = openContentFolder(folder, { durable: false });
  const zeros = Buffer.alloc(10_000_000);
  const pieces = [Buffer.from("begin"), zeros, Buffer.from("middle"), zeros];
  const content = await storeContent(store, pieces);
  const whole = Buffer.concat(pieces);
  expect(content.digest).toBe(sha256(whole));
  expect(content.chunks?.length).toBe(Math.ceil(whole.length / fine));
  expect((await readFile(store.path(content.digest))).equals(whole)).toBe(true);
  expect((await stat(store.path(content.digest))).blocks * 512).toBeLessThan(200_000);
  await rm(folder, { recursive: true });
});
