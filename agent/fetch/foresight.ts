// ⑤ What will be read soon of an image that nobody has traced, by what its files are: the libraries that a program needs, and what is read of them before
// they run; the modules that a Python module may import.

import type { ImageContents } from "./contents.ts";
import { elfHeadBytes, type Range, readLayout, readNeeds } from "./elf.ts";
import { createPythonModules, isPythonModule } from "./python-modules.ts";
import type { Read } from "./trace.ts";

export interface ForesightHost {
  readonly contents: ImageContents;
  /** Fetches it ahead of reads; resolves when it is here. */
  want(read: Read): Promise<void>;
  /** Undefined where not all of it is here. */
  bytesOf(index: number, range: Range): Buffer | undefined;
}

export interface Foresight {
  /** Somebody reads that file: what goes with it is wanted too. Never rejects. */
  begun(index: number): void;
  /** A Python interpreter at that path is about to run such source: what it reads before and for its imports is wanted. */
  python(path: string, source: string): void;
}

/** What an interpreter imports of files before any source of ours: Python/initconfig.c, of 3.9 and newer. */
const importedFirst = "import encodings, encodings.aliases, encodings.utf_8\n";

/** A larger module is data. */
const mostModuleBytes = 1 << 20;
/** By its place or name. */
const isProgram = /\/s?bin\/|\.so(\.[\d.]+)?$/;
const systemFolders = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/lib64",
  "/lib",
  "/usr/local/lib",
];

export function createForesight(host: ForesightHost): Foresight {
  const { contents } = host;
  const modules = createPythonModules(contents.manifest);
  const followed = new Set<number>();

  const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

  /** Whole, or the chunks that a range lies in. */
  async function want(index: number, range: Range): Promise<void> {
    const { chunks, chunkBytes } = contents.pieces(index);
    if (chunks === 0) return await host.want({ index, chunk: undefined });
    const first = Math.floor(range.offset / chunkBytes);
    const last = Math.min(chunks - 1, Math.floor((range.offset + range.bytes - 1) / chunkBytes));
    await Promise.all(
      Array.from({ length: Math.max(0, last - first + 1) }, (_, step) => host.want({ index, chunk: first + step })),
    );
  }

  async function library(index: number, path: string): Promise<void> {
    const head = { offset: 0, bytes: Math.min(elfHeadBytes, contents.wanted(index).bytes) };
    await want(index, head);
    const start = host.bytesOf(index, head);
    const layout = start && readLayout(start);
    if (!layout) return;
    await Promise.all(layout.loaded.map((range) => want(index, range)));
    const dynamic = layout.dynamic && host.bytesOf(index, layout.dynamic);
    if (!dynamic) return;
    const { libraries, folders } = readNeeds(layout, dynamic, (range) => host.bytesOf(index, range));
    const places = [
      ...folders.map((folder) => folder.replace(/\$(ORIGIN|\{ORIGIN\})/, folderOf(path))),
      folderOf(path),
      ...systemFolders,
    ];
    for (const name of libraries) {
      const needed = places.map((folder) => contents.indexAt(`${folder}/${name}`)).find((candidate) => candidate >= 0);
      if (needed !== undefined) follow(needed);
    }
  }

  async function module(index: number, path: string): Promise<void> {
    const { bytes } = contents.wanted(index);
    if (bytes > mostModuleBytes) return;
    await host.want({ index, chunk: undefined });
    const code = host.bytesOf(index, { offset: 0, bytes });
    if (!code) return;
    for (const inode of modules.imports(path, code)) follow(contents.indexOfInode(inode));
  }

  function follow(index: number): void {
    if (followed.has(index)) return;
    followed.add(index);
    const path = contents.path(index);
    const following = isPythonModule(path) ? module(index, path) : isProgram.test(path) ? library(index, path) : undefined;
    following?.catch(() => {}); // who reads it asks again, and is told
  }

  return {
    begun: follow,
    python(path, source) {
      const index = contents.indexAt(path);
      if (index < 0) return;
      follow(index);
      const program = contents.path(index);
      const version = /\/(python3\.\d+)$/.exec(program)?.[1];
      if (version === undefined) return;
      const library = `${folderOf(folderOf(program))}/lib/${version}`;
      for (const inode of modules.imports(`${library}/main.py`, Buffer.from(importedFirst + source)))
        follow(contents.indexOfInode(inode));
    },
  };
}
