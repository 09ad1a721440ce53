// Snapshots: the canonical text, its order, and differences that lead from one to another.

import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyDifference, canonicalText, comparePaths, differenceBetween, snapshotOf } from "../../project/snapshot.ts";

const entry = (path: string, text = path, mode = 0o644) => ({
  path,
  digest: createHash("sha256").update(text).digest("hex"),
  size: Buffer.byteLength(text),
  mode,
});

describe("a snapshot", () => {
  it("is named by the sha256 of its lines, mode in octal, sorted by path", () => {
    const snapshot = snapshotOf([entry("b.py", "two", 0o755), entry("a/x.py", "one")]);
    const one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    const two = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    const text = `644 ${one} 3 a/x.py\n755 ${two} 3 b.py\n`;
    expect(canonicalText(snapshot.files)).toBe(text);
    expect(snapshot.digest).toBe(createHash("sha256").update(text).digest("hex"));
  });

  const paths = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1, maxLength: 6 }), { maxLength: 12 });

  it("sorts paths bytewise, whatever their characters", () => {
    fc.assert(
      fc.property(paths, (found) => {
        expect([...found].sort(comparePaths)).toEqual([...found].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
      }),
    );
    expect(["\u{1f600}", "\uff5e", "z"].sort(comparePaths)).toEqual(["z", "\uff5e", "\u{1f600}"]); // not the order of UTF-16
  });

  it("is reached from any other by their difference", () => {
    const snapshots = fc.dictionary(fc.constantFrom("a", "b", "c/d", "é", "z"), fc.nat(3)).map((files) => {
      return snapshotOf(Object.entries(files).map(([path, version]) => entry(path, `${path}${version}`)));
    });
    fc.assert(
      fc.property(snapshots, snapshots, (from, to) => {
        const next = applyDifference(from, differenceBetween(from, to));
        expect(next.digest).toBe(to.digest);
        expect([...next.files.keys()]).toEqual([...to.files.keys()]);
      }),
    );
  });

  it("differs when only a mode does", () => {
    const [plain, runnable] = [snapshotOf([entry("a")]), snapshotOf([entry("a", "a", 0o755)])];
    expect(differenceBetween(plain, runnable).changed.map(({ mode }) => mode)).toEqual([0o755]);
  });
});
