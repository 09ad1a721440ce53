// ⑤ docs/image-format.md is enough to write a reader: one in Python that follows only the document reads what ours reads.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { bytesOfText } from "../../base/byte-text.ts";
import { configOf } from "../../fusefs/image/config.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { configs, entryLists } from "./manifest-entries.ts";

function plain(entry: ManifestEntry) {
  const { path, mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = entry;
  const xattrs = [...(entry.xattrs ?? [])].map(([name, value]) => [name, value.toString("hex")]);
  const common = { path, mode, uid, gid, time: [mtimeSeconds, mtimeNanoseconds], xattrs };
  if (entry.kind === "file") {
    const { kind, size, digest, chunks = [] } = entry;
    return { kind, size, digest, chunks, ...common };
  }
  if (entry.kind === "symlink") return { kind: entry.kind, target: entry.target, ...common };
  if (entry.kind === "device") return { kind: entry.type, device: [entry.major, entry.minor], ...common };
  return { kind: entry.kind, ...common };
}

interface Read {
  entries: (Record<string, unknown> & { kind: string; links: number })[];
  config: { user: string; workdir: string; env: [string, string][] };
}

it("a reader written from the document alone reads the same of every manifest", () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-reader-"));
  const corpus = JSON.parse(readFileSync(join(import.meta.dirname, "manifest-corpus.json"), "utf8")) as { manifest: string }[];
  const manifests = [
    ...corpus.map(({ manifest }) => Buffer.from(manifest, "base64")),
    ...fc.sample(fc.tuple(entryLists, configs), 200).map(([entries, config]) => encodeManifest(entries, config)),
  ];
  const files = manifests.map((bytes, index) => {
    writeFileSync(join(folder, String(index)), bytes);
    return join(folder, String(index));
  });
  const options = { encoding: "utf8", maxBuffer: 1 << 28 } as const;
  const lines = execFileSync("python3", [join(import.meta.dirname, "read_manifest.py"), ...files], options)
    .trimEnd()
    .split("\n");
  expect(lines.length).toBe(manifests.length);
  for (const [index, line] of lines.entries()) {
    const { entries, config } = JSON.parse(line) as Read;
    const manifest = decodeManifest(manifests[index] as Buffer);
    const ours = [...entriesOfManifest(manifest)];
    expect(entries.map(({ links, ...rest }) => rest)).toEqual(ours.map(plain));
    for (const [at, entry] of ours.entries()) {
      if (entry.kind === "directory") continue;
      const names =
        entry.hardLink === undefined ? 1 : ours.filter((o) => o.kind !== "directory" && o.hardLink === entry.hardLink).length;
      expect(entries[at]?.links).toBe(names);
    }
    const env = Object.entries(configOf(manifest).env).sort(([a], [b]) => Buffer.compare(bytesOfText(a), bytesOfText(b)));
    expect(config).toEqual({ ...configOf(manifest), env });
  }
  rmSync(folder, { recursive: true });
});
