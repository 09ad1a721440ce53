// ⑧ `hob images diff`: which paths two images do not have alike.

import { decodeManifest } from "../../fusefs/image/decode.ts";
import type { ManifestEntry } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";

export interface PathChange {
  change: "added" | "removed" | "changed";
  path: string;
  /** In what, when it is in both: "content", "mode", "owner", "target", "attributes", "type". Times alone are no difference. */
  what: string[];
}

export function differences(before: Buffer, after: Buffer): PathChange[] {
  const [was, now] = [before, after].map(entriesByPath) as [Map<string, ManifestEntry>, Map<string, ManifestEntry>];
  const changes: PathChange[] = [];
  for (const path of [...new Set([...was.keys(), ...now.keys()])].sort()) {
    const [old, fresh] = [was.get(path), now.get(path)];
    if (!old) changes.push({ change: "added", path, what: [] });
    else if (!fresh) changes.push({ change: "removed", path, what: [] });
    else {
      const what = fields.filter(({ of }) => of(old) !== of(fresh)).map(({ name }) => name);
      if (what.length > 0) changes.push({ change: "changed", path, what });
    }
  }
  return changes;
}

const entriesByPath = (manifest: Buffer): Map<string, ManifestEntry> =>
  new Map([...entriesOfManifest(decodeManifest(manifest))].map((entry) => [entry.path || "/", entry]));

const fields: readonly { name: string; of(entry: ManifestEntry): unknown }[] = [
  { name: "type", of: (entry) => entry.kind },
  { name: "content", of: (entry) => (entry.kind === "file" ? entry.digest : "") },
  { name: "target", of: (entry) => (entry.kind === "symlink" ? entry.target : "") },
  { name: "mode", of: (entry) => entry.mode },
  { name: "owner", of: (entry) => `${entry.uid}:${entry.gid}` },
  {
    name: "attributes",
    of: ({ xattrs }) => JSON.stringify([...(xattrs ?? [])].map(([name, value]) => [name, value.toString("hex")]).sort()),
  },
];
