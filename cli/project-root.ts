// ① Which project a file belongs to: the nearest folder upwards that has .git, pyproject.toml, package.json or .hobignore.

import { existsSync, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { HobError } from "../base/errors.ts";

const marks = [".hobignore", ".git", "pyproject.toml", "package.json"];

/** Project folder of `file`, and the file's path in it with '/'. Without a marked folder above, the project is the file's own folder. */
export function projectOf(file: string): { root: string; path: string } {
  const absolute = resolve(file);
  if (!existsSync(absolute)) throw new HobError("usage", `there is no file ${file}`);
  if (statSync(absolute).isDirectory()) {
    throw new HobError("usage", `${file} is a folder`, { remedy: "name a file of it, for example app.py::hello" });
  }
  const own = dirname(absolute);
  let root = own;
  for (let folder = own; ; folder = dirname(folder)) {
    if (marks.some((mark) => existsSync(join(folder, mark)))) {
      root = folder;
      break;
    }
    if (folder === dirname(folder)) break;
  }
  return { root, path: relative(root, absolute).split(sep).join("/") };
}

/** An existing project folder, absolute. */
export function projectFolder(path: string): string {
  const absolute = resolve(path);
  if (!existsSync(absolute)) throw new HobError("usage", `there is no folder ${path}`, { remedy: "name the project's folder" });
  if (statSync(absolute).isDirectory()) return absolute;
  throw new HobError("usage", `${path} is a file`, {
    remedy: `name its folder, or run one function with \`hob run ${path}::NAME\``,
  });
}
