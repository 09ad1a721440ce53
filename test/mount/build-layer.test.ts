// ⑤ What a step leaves, against the kernel's own overlayfs: whatever is done in a mounted tree, the next image is what the mount shows.

import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { applyUpper } from "../../agent/build/layer.ts";
import { metacopyXattr, readUpper } from "../../agent/build/upper.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { errnoOf } from "../../base/errors.ts";
import { atOnce } from "../../base/turns.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { captureFolder } from "../../fusefs/image/folder.ts";
import { rootWithContainers } from "../drive/requirements.ts";

const names = ["a", "b", "c"];
const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));

/** Each is tried; one that the file system refuses (there is no such folder …) does nothing, in every view of it. */
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("write" as const), at: path, text: fc.constantFrom("", "x", "one", "two") }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("mkdir" as const), at: path }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("rename" as const, "link" as const), at: path, to: path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), at: path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("symlink" as const), at: path, to: path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("chmod" as const), at: path, mode: fc.constantFrom(0o600, 0o4755) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("chown" as const), at: path, id: fc.constantFrom(0, 7, 1000) }) },
);
type Operation =
  | { do: "write"; at: string; text: string }
  | { do: "mkdir" | "remove"; at: string }
  | { do: "rename" | "link" | "symlink"; at: string; to: string }
  | { do: "chmod"; at: string; mode: number }
  | { do: "chown"; at: string; id: number };

/** Folders two levels deep, each with files: what is done to them begins from something. */
function plant(folder: string, depth = 2): void {
  for (const name of names) {
    if (depth > 0 && name !== "c") {
      fs.mkdirSync(join(folder, name));
      plant(join(folder, name), depth - 1);
    } else fs.writeFileSync(join(folder, name), `${name}${depth}`);
  }
}

const refusals = new Set(["ENOENT", "ENOTDIR", "EEXIST", "EISDIR", "ENOTEMPTY", "EINVAL", "EPERM", "ELOOP"]);

function apply(root: string, operations: readonly Operation[]): void {
  for (const each of operations) {
    const at = join(root, each.at);
    try {
      if (each.do === "write") {
        const file = fs.openSync(
          at,
          fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_TRUNC | fs.constants.O_NOFOLLOW,
        );
        fs.writeSync(file, each.text);
        fs.closeSync(file);
      } else if (each.do === "mkdir") fs.mkdirSync(at);
      else if (each.do === "rename") fs.renameSync(at, join(root, each.to));
      else if (each.do === "link") fs.linkSync(at, join(root, each.to));
      else if (each.do === "remove") fs.rmSync(at, { recursive: true });
      else if (each.do === "symlink") fs.symlinkSync(each.to, at);
      else if (each.do === "chown") fs.lchownSync(at, each.id, each.id);
      else if (each.do === "chmod" && !fs.lstatSync(at).isSymbolicLink()) fs.chmodSync(at, each.mode);
    } catch (error) {
      if (!refusals.has(errnoOf(error) ?? "")) throw error;
    }
  }
}

describe.skipIf(!rootWithContainers())("what a step leaves", () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "hob-layer-"));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const timeless = { uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 };
  const rootEntry: ManifestEntry = { kind: "directory", path: "", mode: 0o755, ...timeless };
  const withoutRoot = (entries: readonly ManifestEntry[]): ManifestEntry[] => [
    rootEntry,
    ...entries.filter(({ path }) => path !== ""),
  ];

  it("is what overlayfs shows, after any sequence of writes, renames, links and removals", async () => {
    // A tmpfs: overlayfs on a disk waits for it at every unmount.
    const place = join(folder, "disk");
    fs.mkdirSync(place);
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", place]);
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(operation, { maxLength: 30 }),
          fc.array(operation, { maxLength: 25 }),
          async (first, second) => {
            const [lower = "", upper = "", work = "", merged = ""] = ["lower", "upper", "work", "merged"].map((name) =>
              join(place, name),
            );
            for (const each of [lower, upper, work, merged]) {
              fs.rmSync(each, { recursive: true, force: true });
              fs.mkdirSync(each);
            }
            plant(lower);
            apply(lower, first);
            const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work},redirect_dir=on,metacopy=on`;
            execFileSync("mount", ["-t", "overlay", "overlay", "-o", layers, merged]);
            let shown: ManifestEntry[];
            try {
              apply(merged, second);
              shown = withoutRoot(await captureFolder(merged, store));
            } finally {
              execFileSync("umount", [merged]);
            }
            const before = withoutRoot(await captureFolder(lower, store));
            const scanned = await captureFolder(upper, store, {
              lacksContent: ({ xattrs }) => xattrs?.has(metacopyXattr) === true,
            });
            const next = atOnce(applyUpper(before, readUpper(scanned, { base: 0, size: 65_536 }), new Set()));
            if (!encodeManifest(next).equals(encodeManifest(shown))) expect(plain(next)).toEqual(plain(shown));
          },
        ),
        { numRuns: 150 },
      );
    } finally {
      execFileSync("umount", [place]);
    }
  });

  it("leaves out what its container's own mounts needed, and sockets", () => {
    const file = (path: string): ManifestEntry => ({
      kind: "file",
      path,
      size: 0,
      digest: "0".repeat(64),
      mode: 0o644,
      ...timeless,
    });
    const before = [rootEntry, { ...rootEntry, path: "etc" }, file("etc/passwd"), { ...rootEntry, path: "proc" }];
    const scanned: ManifestEntry[] = [
      ...[{ ...rootEntry, path: "hob" }, { ...rootEntry, path: "etc" }, file("etc/resolv.conf"), file("etc/hosts")],
      { kind: "socket", path: "run", mode: 0o600, ...timeless },
    ];
    const next = atOnce(
      applyUpper(before, readUpper(scanned, { base: 5, size: 1 }), new Set(["hob", "proc", "etc/resolv.conf"])),
    );
    expect(next.map(({ path }) => path).sort()).toEqual(["", "etc", "etc/hosts", "etc/passwd", "proc"]);
  });

  it("has the container's owners, capabilities and access lists, not the node's", () => {
    const capability = Buffer.alloc(24);
    capability.writeUInt32LE(0x0300_0001, 0);
    capability.writeUInt32LE(1 << 10, 4);
    capability.writeUInt32LE(7000, 20);
    const list = Buffer.from("02000000" + "01000600ffffffff" + "020004005c1b0000", "hex"); // of the owner, and of user 7004
    const xattrs = new Map([
      ["security.capability", capability],
      ["system.posix_acl_access", list],
      ["trusted.overlay.origin", list],
      ["user.x", list],
    ]);
    const owner = { uid: 7033, gid: 7000, mtimeSeconds: 0, mtimeNanoseconds: 0 };
    const [entry] = readUpper([{ kind: "file", path: "ping", size: 0, digest: "", mode: 0o755, xattrs, ...owner }], {
      base: 7000,
      size: 100,
    });
    if (entry?.kind !== "other") throw new Error("it is a file");
    expect(entry.entry).toMatchObject({ uid: 33, gid: 0 });
    expect(Object.fromEntries([...(entry.entry.xattrs ?? [])].map(([name, value]) => [name, value.toString("hex")]))).toEqual({
      "security.capability": `0100000200040000${"0".repeat(24)}`,
      "system.posix_acl_access": "02000000" + "01000600ffffffff" + "0200040004000000",
      "user.x": list.toString("hex"),
    });
  });
});

function plain(entries: readonly ManifestEntry[]): unknown[] {
  return entries.map((entry) => `${entry.path} ${JSON.stringify({ ...entry, hardLink: undefined, xattrs: undefined })}`).sort();
}
