// ⑤ From listed paths to what lies there: links of folders resolved (/bin → usr/bin), links followed, compiled Python found.

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { extraPaths, mayEnter, wholeTrees } from "./host-rules.ts";

export type HostItem =
  | { kind: "directory" }
  | { kind: "symlink"; target: string }
  | { kind: "file"; path: string; mode: number; size: number; mtimeNs: bigint; inode: bigint };

/** What enters the image, by absolute path. */
export type HostItems = Map<string, HostItem>;

interface Scanner {
  items: HostItems;
  add(path: string): void;
}

function createScanner(): Scanner {
  const items: HostItems = new Map();
  const realFolders = new Map<string, string>([["/", "/"]]);

  /** The folder without links on its way; each link met enters the image too. */
  function realFolder(folder: string): string {
    const known = realFolders.get(folder);
    if (known !== undefined) return known;
    const path = join(realFolder(dirname(folder)), basename(folder));
    const stat = lstatSync(path, { throwIfNoEntry: false });
    let real = path;
    if (stat?.isSymbolicLink()) {
      const target = readlinkSync(path);
      if (mayEnter(path)) items.set(path, { kind: "symlink", target });
      real = realFolder(resolve(dirname(path), target));
    }
    realFolders.set(folder, real);
    return real;
  }

  function add(listed: string): void {
    const path = join(realFolder(dirname(listed)), basename(listed));
    if (items.has(path) || !mayEnter(path)) return;
    const stat = lstatSync(path, { throwIfNoEntry: false, bigint: true });
    if (!stat) return; // listed, but removed from this machine
    if (stat.isFile()) {
      if ((Number(stat.mode) & 0o004) === 0) return; // what not everybody here may read is nobody's in an image
      // Set-uid and set-gid are of no use in a container that may not gain privileges.
      const mode = (Number(stat.mode) & 0o777) | 0o444;
      items.set(path, { kind: "file", path, mode, size: Number(stat.size), mtimeNs: stat.mtimeNs, inode: stat.ino });
    } else if (stat.isDirectory()) {
      items.set(path, { kind: "directory" });
    } else if (stat.isSymbolicLink()) {
      const target = readlinkSync(path);
      items.set(path, { kind: "symlink", target });
      add(resolve(dirname(path), target));
    }
  }
  return { items, add };
}

/** Links that update-alternatives made for programs that are here: "auto\n/usr/bin/awk\n", then slaves as "name\nlink\n" up to a blank line. */
function addAlternatives({ items, add }: Scanner): void {
  const database = "/var/lib/dpkg/alternatives";
  if (!existsSync(database)) return;
  for (const name of readdirSync(database).sort()) {
    const lines = readFileSync(join(database, name), "utf8").split("\n");
    const end = lines.indexOf("", 2);
    const pairs: [string, string][] = [[name, lines[1] ?? ""]];
    for (let i = 2; i + 1 < end; i += 2) pairs.push([lines[i] ?? "", lines[i + 1] ?? ""]);
    for (const [alternative, link] of pairs) {
      const choice = join("/etc/alternatives", alternative);
      if (!existsSync(choice)) continue;
      if (items.has(realpathSync(choice))) add(link);
    }
  }
}

/** Bytecode beside the sources that are in: packages compile after they are installed, and list nothing. */
function addBytecode({ items, add }: Scanner, cacheTag: string): void {
  const sources = new Map<string, Set<string>>();
  for (const [path, { kind }] of items) {
    if (kind !== "file" || !path.endsWith(".py")) continue;
    const folder = dirname(path);
    sources.set(folder, (sources.get(folder) ?? new Set()).add(basename(path, ".py")));
  }
  const suffix = `.${cacheTag}.pyc`;
  for (const [folder, names] of sources) {
    const cache = join(folder, "__pycache__");
    if (!existsSync(cache)) continue;
    for (const file of readdirSync(cache))
      if (file.endsWith(suffix) && names.has(file.slice(0, -suffix.length))) add(join(cache, file));
  }
}

/** Everything that enters the image from these listed paths. `cacheTag` as in "cpython-311". */
export function scanHost(listed: readonly string[], cacheTag: string): HostItems {
  const scanner = createScanner();
  for (const path of listed) scanner.add(path);
  for (const path of extraPaths) scanner.add(path);
  for (const tree of wholeTrees) {
    if (!existsSync(tree)) continue;
    for (const name of readdirSync(tree, { recursive: true }) as string[]) scanner.add(join(tree, name));
  }
  addAlternatives(scanner);
  addBytecode(scanner, cacheTag);
  for (const path of ["/bin", "/sbin", "/lib", "/lib32", "/lib64"]) scanner.add(path);
  return scanner.items;
}
