// ⑤ Contents on their way into the store: their digest, the digests of their pieces, and what is zeros.

import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { createContentHasher, storeContent } from "../../fusefs/image/chunks.ts";
import { CHUNK_BYTES } from "../../fusefs/image/manifest.ts";

const pattern = Buffer.alloc(3 * CHUNK_BYTES + 5);
for (let at = 0; at < pattern.length; at += 4093) pattern.writeUInt32LE(at, Math.min(at, pattern.length - 4));

it.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1, 3 * CHUNK_BYTES])(
  "a content of %i bytes has its pieces' digests, whatever the pieces that it came in",
  (size) => {
    const content = pattern.subarray(0, size);
    const chunks = Array.from({ length: Math.ceil(size / CHUNK_BYTES) }, (_, index) =>
      sha256(content.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)),
    );
    const expected = { digest: sha256(content), size, ...(size > 2 * CHUNK_BYTES ? { chunks } : {}) };
    for (const pieceBytes of [65_536, 1_000_003, 2 * CHUNK_BYTES, pattern.length]) {
      const hasher = createContentHasher();
      for (let at = 0; at < size; at += pieceBytes) hasher.update(content.subarray(at, at + pieceBytes));
      expect(hasher.content()).toEqual(expected);
    }
  },
);

it("a content is one blob, in which zeros take no space", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hob-chunks-"));
  const store = openContentFolder(folder, { durable: false });
  const zeros = Buffer.alloc(10_000_000);
  const pieces = [Buffer.from("begin"), zeros, Buffer.from("middle"), zeros];
  const content = await storeContent(store, pieces);
  const whole = Buffer.concat(pieces);
  expect(content.digest).toBe(sha256(whole));
  expect(content.chunks?.length).toBe(5);
  expect((await readFile(store.path(content.digest))).equals(whole)).toBe(true);
  expect((await stat(store.path(content.digest))).blocks * 512).toBeLessThan(200_000);
  await rm(folder, { recursive: true });
});
