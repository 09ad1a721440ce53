// ⑤ Which modules a Python module may import, by the names in its code, and which files those are. Pure but for the manifest it looks at.

import { entriesOf, entryInode, entryName, type Manifest, typeOf } from "../../fusefs/image/manifest.ts";
import { fileType } from "../../fusefs/wire/constants.ts";
import { placeOf } from "../runner/image-paths.ts";
import { namesOfBytecode } from "./bytecode.ts";

/** Of bytecode the names that importing it uses; of source those in its import statements. */
function namesIn(code: Buffer, isSource: boolean): Set<string> {
  if (!isSource) return new Set(namesOfBytecode(code));
  const names = new Set<string>();
  for (const [line] of code.toString("latin1").matchAll(/^[ \t]*(?:from|import)[ \t][^\n]*/gm))
    for (const [name] of line.matchAll(/[A-Za-z_][\w.]*/g)) names.add(name);
  return names;
}

/** Of a folder that modules are imported from: the files that importing each reads, by name; and the folders of its packages. */
interface ModuleFolder {
  readonly files: ReadonlyMap<string, readonly number[]>;
  readonly packages: ReadonlyMap<string, string>;
}

export interface PythonModules {
  /** Inodes of the files that the module at that path may import: its own package's, then those of its package's package, then of the paths known so far. */
  imports(path: string, code: Buffer): number[];
}

const modulePath = /^(.*?)(?:\/__pycache__)?\/([^/.]+)\.(?:[^/]+\.)?pyc?$/;
export const isPythonModule = (path: string): boolean => modulePath.test(path);

export function createPythonModules(manifest: Manifest): PythonModules {
  const folders = new Map<string, ModuleFolder | undefined>();
  const roots = new Set<string>();

  function list(path: string): { name: string; inode: number; type: number }[] {
    const inode = placeOf(manifest, path)?.inode;
    if (inode === undefined || typeOf(manifest, inode) !== fileType.directory) return [];
    const { first, count } = entriesOf(manifest, inode);
    return Array.from({ length: count }, (_, entry) => {
      const child = entryInode(manifest, first + entry);
      return { name: entryName(manifest, first + entry), inode: child, type: typeOf(manifest, child) };
    });
  }

  /** Undefined where there are no modules. */
  function folderAt(path: string): ModuleFolder | undefined {
    if (folders.has(path)) return folders.get(path);
    const files = new Map<string, number[]>();
    const packages = new Map<string, string>();
    const add = (name: string, inode: number): void => void files.set(name, [...(files.get(name) ?? []), inode]);
    const entries = list(path);
    for (const { name, inode } of list(`${path}/__pycache__`))
      if (/^[^.]+\.[^.]+\.pyc$/.test(name)) add(name.split(".")[0] ?? "", inode);
    for (const { name, inode, type } of entries) {
      const [module = ""] = name.split(".");
      if (type === fileType.directory && name !== "__pycache__") packages.set(name, `${path}/${name}`);
      else if (/\.so$/.test(name) || (/\.py$/.test(name) && !files.has(module))) add(module, inode);
    }
    const folder = files.size > 0 || packages.size > 0 ? { files, packages } : undefined;
    folders.set(path, folder);
    return folder;
  }

  const isPackage = (path: string): boolean => folderAt(path)?.files.has("__init__") === true;
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

  /** The files that importing that name from the base reads. */
  function resolve(base: string, name: string, found: Set<number>): void {
    let path = base;
    for (const part of name.includes(".") ? name.split(".") : [name]) {
      const folder = folderAt(path);
      for (const inode of folder?.files.get(part) ?? []) found.add(inode);
      const next = folder?.packages.get(part);
      if (!next || !isPackage(next)) return;
      for (const inode of folderAt(next)?.files.get("__init__") ?? []) found.add(inode);
      path = next;
    }
  }

  return {
    imports(path, code) {
      const own = modulePath.exec(path)?.[1] ?? "";
      let root = own;
      while (root !== "" && isPackage(root)) root = parentOf(root);
      for (const each of [root, `${root}/lib-dynload`]) if (folderAt(each)) roots.add(each);
      const found = new Set<number>();
      const names = namesIn(code, path.endsWith(".py"));
      const bases = [
        ...(own === root ? [] : [own]),
        ...(parentOf(own) !== root && isPackage(parentOf(own)) ? [parentOf(own)] : []),
        ...roots,
      ];
      for (const base of bases) for (const name of names) resolve(base, name, found);
      return [...found];
    },
  };
}
