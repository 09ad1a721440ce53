// ⑤ Large files of which only pieces are here: a read waits for its own pieces, and what is whole bypasses the daemon from then on.

import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ContentFolder, sha256 } from "../../base/content-folder.ts";
import { openPartialBlobs, pieceBytesOf } from "../../base/partial-blob.ts";
import { createContentHasher } from "../../fusefs/image/chunks.ts";
import { encodeManifest } from "../../fusefs/image/encode.ts";
import { modes, probe, startMounted } from "./mounted.ts";

const chunkBytes = pieceBytesOf(0);
const last = 20;
const content = Buffer.alloc(last * chunkBytes + 50_000);
for (let at = 0; at < content.length - 4; at += 509) content.writeUInt32LE(at, at);
const hasher = createContentHasher();
hasher.update(content);
const { digest, size, chunks } = hasher.content();
const image = encodeManifest([
  {
    kind: "file",
    path: "model",
    digest,
    size,
    ...(chunks ? { chunks } : {}),
    ...{ mode: 0o644, uid: 0, gid: 0 },
    ...{ mtimeSeconds: 0, mtimeNanoseconds: 0 },
  },
]);
const piece = (index: number): Buffer => content.subarray(index * chunkBytes, (index + 1) * chunkBytes);

describe.skipIf(!probe.fuse).each(modes)("a file in chunks (%o)", (mode) => {
  /** Its image mounted, and who has its chunks: `asked` hears which ones are wanted, `give` says what comes. */
  async function mountModel(give: (index: number) => Buffer) {
    const asked: (number | undefined)[] = [];
    let store: ContentFolder | undefined;
    const mounted = await startMounted({
      ...mode,
      fetch: async (wanted, chunk) => {
        expect(wanted).toBe(digest);
        asked.push(chunk);
        const partial = await openPartialBlobs(store as ContentFolder, { durable: false });
        await partial.put({ digest, size }, chunk as number, give(chunk as number));
      },
    });
    store = mounted.store;
    const mountPoint = await mounted.show(await store.put(image), "image");
    return { mounted, asked, model: join(mountPoint, "model") };
  }

  it("is fetched where it is read, and bypasses the daemon once it is whole and opened anew", async () => {
    const { mounted, asked, model } = await mountModel(piece);
    await using _ = mounted;
    {
      await using handle = await open(model);
      const from = chunkBytes - 50;
      const { buffer } = await handle.read(Buffer.alloc(100), 0, 100, from);
      expect(buffer.equals(content.subarray(from, from + 100))).toBe(true);
      expect(asked).toEqual(expect.arrayContaining([0, 1]));
      expect(asked).not.toContain(last); // the kernel reads on, but not for ever
      expect(mounted.store.has(digest)).toBe(false);

      expect(sha256(await readFile(model))).toBe(digest); // all of it, while another handle is open
      expect(asked.toSorted((one, other) => Number(one) - Number(other))).toEqual(
        Array.from({ length: last + 1 }, (_, index) => index),
      );
      expect(mounted.store.has(digest)).toBe(true);
      expect((await mounted.server.stats()).passthroughOpens).toBe(0);
    }
    const opensBypassing = async (): Promise<number> => {
      expect(sha256(await readFile(model))).toBe(digest);
      return (await mounted.server.stats()).passthroughOpens;
    };
    // The kernel tells of a handle's end when it likes.
    let bypassed = 0;
    for (let tries = 0; mode.passthrough && bypassed === 0 && tries < 100; tries++) bypassed = await opensBypassing();
    expect(bypassed).toBe(mode.passthrough ? 1 : 0);
    expect(asked.length).toBe(last + 1);
  });

  it("gives EIO for a piece that is wrong, and asks for it again the next time", async () => {
    let isWrong = true;
    const { mounted, asked, model } = await mountModel((index) =>
      isWrong ? Buffer.alloc(piece(index).length, "x") : piece(index),
    );
    await using _ = mounted;
    await using handle = await open(model);
    const read = () => handle.read(Buffer.alloc(8), 0, 8, 2 * chunkBytes + 16);
    await expect(read()).rejects.toThrow("EIO");
    isWrong = false;
    expect((await read()).buffer.equals(piece(2).subarray(16, 24))).toBe(true);
    expect(asked.length).toBeGreaterThan(1);
    expect(Math.min(...asked.map(Number))).toBe(2); // nothing before it
  });
});
