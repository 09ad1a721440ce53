// ⑤ Manifests come over the network: whatever the bytes, decoding gives a tree that can be walked, or one typed error.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HobError } from "../../base/errors.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest } from "../../fusefs/image/encode.ts";
import * as manifests from "../../fusefs/image/manifest.ts";
import { fileType } from "../../fusefs/wire/constants.ts";
import { entryLists } from "./manifest-entries.ts";

/** Touches all that the FUSE server would; throws where something lies outside. */
function walkAll(manifest: manifests.Manifest): void {
  let seen = 0;
  const walk = (inode: number): void => {
    seen++;
    expect(seen).toBeLessThanOrEqual(manifest.inodeCount + manifest.entries.length);
    const type = manifests.typeOf(manifest, inode);
    if (type === fileType.regular) expect(manifests.digestOf(manifest, inode)).toMatch(/^[0-9a-f]{64}$/);
    else if (type === fileType.symlink) expect(manifests.targetOf(manifest, inode).length).toBeGreaterThan(0);
    else {
      const { first, count } = manifests.entriesOf(manifest, inode);
      for (let entry = first; entry < first + count; entry++) walk(manifests.entryInode(manifest, entry));
    }
  };
  walk(0);
}

function decodeOrRefuse(bytes: Uint8Array): "decoded" | string {
  try {
    walkAll(decodeManifest(bytes));
    return "decoded";
  } catch (error) {
    if (!(error instanceof HobError) || error.kind !== "corrupt") throw error;
    return error.message;
  }
}

const mutation = fc.oneof(
  fc.record({ kind: fc.constant("byte" as const), at: fc.nat(), value: fc.nat({ max: 255 }) }),
  fc.record({
    kind: fc.constant("word" as const),
    at: fc.nat(),
    value: fc.constantFrom(0, 1, 2, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff),
  }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), value: fc.constant(0) }),
  fc.record({ kind: fc.constant("grow" as const), at: fc.nat({ max: 64 }), value: fc.constant(0) }),
);

function mutate(bytes: Buffer, mutations: { kind: string; at: number; value: number }[]): Buffer {
  let result = Buffer.from(bytes);
  for (const { kind, at, value } of mutations) {
    if (result.length < 4) break;
    if (kind === "byte") result[at % result.length] = value;
    else if (kind === "word") result.writeUInt32LE(value, (at % (result.length >> 2)) * 4);
    else if (kind === "cut") result = result.subarray(0, at % result.length);
    else result = Buffer.concat([result, Buffer.alloc(at)]);
  }
  return result;
}

describe("decoding a manifest", () => {
  it("never crashes, hangs or reads outside, whatever was changed in it", () => {
    const cases = fc.tuple(entryLists, fc.array(mutation, { minLength: 1, maxLength: 4 }));
    fc.assert(
      fc.property(cases, ([entries, mutations]) => void decodeOrRefuse(mutate(encodeManifest(entries), mutations))),
      { numRuns: 3000 },
    );
  });

  it("refuses bytes that are no manifest at all", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decodeOrRefuse(bytes)).not.toBe("decoded");
      }),
    );
  });

  it("takes bytes that are not aligned", () => {
    const bytes = encodeManifest([
      { kind: "directory", path: "a", mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 1, mtimeNanoseconds: 0 },
    ]);
    const shifted = Buffer.concat([Buffer.alloc(1), bytes]).subarray(1);
    expect(decodeOrRefuse(shifted)).toBe("decoded");
  });

  // Each names the bytes of a valid manifest that were changed, and what must be said of it.
  const corpus = JSON.parse(readFileSync(join(import.meta.dirname, "manifest-corpus.json"), "utf8")) as {
    manifest: string;
    cases: { what: string; offset: number; hex: string; says: string }[];
  };
  const valid = Buffer.from(corpus.manifest, "base64");

  it("still reads the first manifest of version 1 that was ever written", () => {
    expect(decodeOrRefuse(valid)).toBe("decoded");
  });
  it.each(corpus.cases)("refuses $what", ({ offset, hex, says }) => {
    const bytes = Buffer.from(valid);
    bytes.write(hex, offset, "hex");
    expect(decodeOrRefuse(bytes)).toContain(says);
  });
});
