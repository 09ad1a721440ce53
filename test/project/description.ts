// Describes small projects held in memory, as a save would have them described.

import { createHash } from "node:crypto";
import { changesBetween, type DescribedFunction, functionKey } from "../../project/describe/changes.ts";
import type { LanguageDescriber, LanguageDescription } from "../../project/describe/python.ts";
import { snapshotOf } from "../../project/snapshot.ts";

export type Files = Record<string, string>;

export const snapshotOfFiles = (files: Files) =>
  snapshotOf(
    Object.entries(files).map(([path, text]) => ({
      path,
      digest: createHash("sha256").update(text).digest("hex"),
      size: Buffer.byteLength(text),
      mode: 0o644,
    })),
  );

export interface Project {
  describe(files: Files): Promise<LanguageDescription>;
  /** What an edit, from the files described last to these, makes of the functions: name → "tier: reason", or why nothing changed. */
  edit(files: Files): Promise<Record<string, string> | string>;
}

const isSource = (path: string): boolean => /\.(py|[cm]?[jt]sx?)$/.test(path);

export function projectOf(describer: LanguageDescriber): Project {
  let last: Files = {};
  let before = new Map<string, DescribedFunction>();

  async function describe(files: Files): Promise<LanguageDescription> {
    const changed = Object.entries(files).filter(([path, source]) => isSource(path) && last[path] !== source);
    const removed = Object.keys(last).filter((path) => isSource(path) && !(path in files));
    const others = [...Object.keys(files), ...Object.keys(last)].filter((path) => !isSource(path) && files[path] !== last[path]);
    const changes = { changed: changed.map(([path, source]) => ({ path, source })), removed, others };
    const description = await describer.describe(changes, snapshotOfFiles(files));
    last = files;
    before = new Map(description.functions.map((described) => [functionKey(described), described]));
    return description;
  }

  return {
    describe,
    async edit(files) {
      const was = before;
      const paths = [...Object.keys(files), ...Object.keys(last)].filter((path) => files[path] !== last[path]);
      await describe(files);
      const { changes, removed, nothing } = changesBetween(was, before, [...new Set(paths)]);
      if (nothing !== undefined) return nothing;
      return Object.fromEntries([
        ...changes.map(({ after, tier, reason }) => [after.spec.name, `${tier}: ${reason}`]),
        ...removed.map(({ spec }) => [spec.name, "removed"]),
      ]);
    },
  };
}
