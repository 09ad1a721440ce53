// ① The project's folder as it lies on the disk: walks it by the ignore rules, reads files, follows links that stay inside.

import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { join, relative, sep } from "node:path";
import { sha256 } from "../base/content-folder.ts";
import { errnoOf, systemError } from "../base/errors.ts";
import type { FileEntry } from "../proto/gen/hob/v1/common.ts";
import type { IgnoreRules } from "./ignore.ts";

/** Larger files are left out of snapshots, with a notice. */
const maxFileBytes: number = 256 << 20;
/** Contents up to this size are kept in memory from the moment that they were hashed until they have been sent. */
const maxHeldBytes = 1 << 20;

export interface ReadFile {
  entry: FileEntry;
  /** The very bytes that were hashed; absent for a large file. */
  content: Buffer | undefined;
  /** When it was saved, as the file system says (Unix ms): the later of mtime and ctime. */
  savedAtMs: number;
}

export interface ProjectFolder {
  readonly root: string;
  /** Reads one file; undefined when it is not there, is no regular file, is too large or leads out of the project. */
  read(path: string): ReadFile | undefined;
  /** Its bytes again, however many; undefined when it is not there. */
  pieces(path: string): Iterable<Buffer> | undefined;
  /** Every file and every folder below `folder` ("" for all). */
  walk(folder: string): { files: string[]; folders: string[] };
  /** Other paths of the project that show this file, by symbolic links. */
  aliases(path: string): string[];
  /** Whether it is a folder that belongs to the project. */
  isFolder(path: string): boolean;
}

export function openProjectFolder(root: string, rules: IgnoreRules, notice: (text: string) => void): ProjectFolder {
  const realRoot = realpathSync(root);
  const links = new Map<string, Set<string>>(); // path inside the project -> links to it
  const told = new Set<string>();
  const absolute = (path: string): string => join(root, path);

  function tell(text: string): void {
    if (told.has(text)) return;
    told.add(text);
    notice(text);
  }

  /** The path inside the project that a link stands for; undefined when it leads nowhere or out. */
  function follow(path: string): string | undefined {
    let real: string;
    try {
      real = realpathSync(absolute(path));
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ELOOP") return undefined;
      throw systemError(`following the link ${path}`, error);
    }
    const inside = relative(realRoot, real);
    if (inside === ".." || inside.startsWith(`..${sep}`) || inside === "") {
      tell(
        `${path} is a link that leads out of the project, so it is left out: put a copy into the project if a function needs it`,
      );
      return undefined;
    }
    let known = links.get(inside);
    if (!known) {
      known = new Set();
      links.set(inside, known);
    }
    known.add(path);
    return inside;
  }

  function walk(from: string): { files: string[]; folders: string[] } {
    const files: string[] = [];
    const folders: string[] = [];
    const enter = (folder: string, above: string[]): void => {
      let entries: Dirent[];
      try {
        entries = readdirSync(absolute(folder), { withFileTypes: true });
      } catch (error) {
        const code = errnoOf(error);
        if (code === "ENOENT" || code === "ENOTDIR") return; // gone since its parent was read
        if (code === "EACCES" && folder !== "") {
          tell(`the folder ${folder} cannot be read, so it is left out`);
          return;
        }
        throw systemError(`reading the folder ${folder || root}`, error);
      }
      rules.load(folder);
      folders.push(folder);
      for (const entry of entries) {
        const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
        let isFolder = entry.isDirectory();
        if (!isFolder && !entry.isFile() && !entry.isSymbolicLink()) continue; // sockets, devices
        if (rules.ignores(path, isFolder)) continue;
        let real = path;
        if (entry.isSymbolicLink()) {
          const target = follow(path);
          if (target === undefined) continue;
          real = target;
          isFolder = statSync(absolute(path), { throwIfNoEntry: false })?.isDirectory() ?? false;
          if (isFolder && (rules.ignores(path, true) || above.some((up) => up === real || up.startsWith(`${real}/`)))) continue;
        }
        if (isFolder) enter(path, [...above, real]);
        else files.push(path);
      }
    };
    enter(from, [from]);
    return { files, folders };
  }

  /** A descriptor of a regular file of the project; whoever gets it closes it. */
  function openFile(path: string): number | undefined {
    try {
      const stat = lstatSync(absolute(path));
      if (stat.isSymbolicLink() ? follow(path) === undefined : !stat.isFile()) return undefined;
      return openSync(absolute(path), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const code = errnoOf(error);
      if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "ENXIO") return undefined;
      if (code !== "EACCES") throw systemError(`reading ${path}`, error);
      tell(`${path} cannot be read (permission denied), so it is left out`);
      return undefined;
    }
  }

  function read(path: string): ReadFile | undefined {
    const descriptor = openFile(path);
    if (descriptor === undefined) return undefined;
    try {
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) return undefined;
      if (stat.size > maxFileBytes) {
        tell(`${path} is larger than 256 MiB, so it is left out: put it into an image or a volume`);
        return undefined;
      }
      return readWhole(path, descriptor, stat);
    } catch (error) {
      throw systemError(`reading ${path}`, error);
    } finally {
      closeSync(descriptor);
    }
  }

  return {
    root,
    read,
    pieces(path) {
      const descriptor = openFile(path);
      return descriptor === undefined ? undefined : piecesOf(descriptor);
    },
    walk,
    aliases: (path) => [...(links.get(path) ?? [])],
    isFolder(path) {
      const stat = statSync(absolute(path), { throwIfNoEntry: false });
      return stat?.isDirectory() === true && !rules.ignores(path, true);
    },
  };
}

/** Reads on from where the descriptor stands, and leaves it open. */
function* readOn(descriptor: number): Generator<Buffer> {
  for (;;) {
    const piece = Buffer.allocUnsafe(1 << 20);
    const count = readSync(descriptor, piece, 0, piece.length, null);
    if (count === 0) return;
    yield piece.subarray(0, count);
  }
}

function* piecesOf(descriptor: number): Generator<Buffer> {
  try {
    yield* readOn(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readWhole(path: string, descriptor: number, stat: Stats): ReadFile {
  const savedAtMs = Math.max(stat.mtimeMs, stat.ctimeMs);
  const mode = stat.mode & 0o777;
  if (stat.size <= maxHeldBytes) {
    const content = readFileSync(descriptor);
    return { entry: { path, digest: sha256(content), size: content.length, mode }, content, savedAtMs };
  }
  const hash = createHash("sha256");
  let size = 0;
  for (const piece of readOn(descriptor)) {
    hash.update(piece);
    size += piece.length;
  }
  return { entry: { path, digest: hash.digest("hex"), size, mode }, content: undefined, savedAtMs };
}
