// ⑤ Manifests come over the network: whatever the bytes, decoding gives a tree that can be walked, or one typed error.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HobError } from "../../base/errors.ts";
import { configOf } from "../../fusefs/image/config.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import type { Manifest } from "../../fusefs/image/manifest.ts";
import { chunkCount, chunkedContents } from "../../fusefs/image/tables.ts";
import { configs, entryLists } from "./manifest-entries.ts";

/** Reads all that there is; throws where something lies outside. What can be read can be written. */
function readAll(manifest: Manifest): void {
  const entries: ManifestEntry[] = [];
  for (const entry of entriesOfManifest(manifest)) {
    expect(entries.push(entry)).toBeLessThanOrEqual(manifest.inodeCount + manifest.entries.length);
  }
  expect(() => encodeManifest(entries, configOf(manifest))).not.toThrow();
  for (const { size, chunks } of chunkedContents(manifest)) expect(chunks.length).toBe(chunkCount(size));
}

function decodeOrRefuse(bytes: Uint8Array): "decoded" | string {
  try {
    readAll(decodeManifest(bytes));
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
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        entryLists,
        configs,
        mutations,
        (entries, config, changes) => void decodeOrRefuse(mutate(encodeManifest(entries, config), changes)),
      ),
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

  // Each case names the bytes of a valid manifest that were changed, and what must be said of it.
  const corpus = JSON.parse(readFileSync(join(import.meta.dirname, "manifest-corpus.json"), "utf8")) as {
    what: string;
    manifest: string;
    cases: { what: string; offset: number; hex: string; says: string }[];
  }[];

  describe.each(corpus)("$what", ({ manifest, cases }) => {
    const valid = Buffer.from(manifest, "base64");

    it("is still read, and written with the same bytes", () => {
      const read = decodeManifest(valid);
      expect(encodeManifest(entriesOfManifest(read), configOf(read)).equals(valid)).toBe(true);
    });

    it.each(cases)("is refused with $what", ({ offset, hex, says }) => {
      const bytes = Buffer.from(valid);
      bytes.write(hex, offset, "hex");
      expect(decodeOrRefuse(bytes)).toContain(says);
    });

    it("is refused wherever it is cut off, and is a tree or refused whichever of its bits is turned over", () => {
      for (let end = 0; end < valid.length; end++) expect(decodeOrRefuse(valid.subarray(0, end))).not.toBe("decoded");
      for (let bit = 0; bit < valid.length * 8; bit++) {
        const bytes = Buffer.from(valid);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        decodeOrRefuse(bytes);
      }
    });
  });
});
