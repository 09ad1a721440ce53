// ① Which paths of a project do not belong to it: defaults, .gitignore (nested ones too) and .hobignore.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import ignore, { type Ignore } from "ignore";
import { errnoOf, systemError } from "../base/errors.ts";

export const ruleFiles: readonly string[] = [".gitignore", ".hobignore"];

// What tools leave behind, and the files that editors make beside the one being saved.
const defaults = [
  ".git/ .hg/ .svn/ .jj/ node_modules/ __pycache__/ .venv/ venv/ dist/ build/ .mypy_cache/ .pytest_cache/ .ruff_cache/ .tox/ .nox/",
  ".ipynb_checkpoints/ .idea/ .vscode/ .cache/ .next/ .turbo/ coverage/ *.egg-info/ .eggs/",
  "*.pyc *.pyo .DS_Store Thumbs.db .coverage *.tsbuildinfo",
  "*~ *.swp *.swo *.swx .*.sw? 4913 .#* \\#*# *.tmp *.bak *.orig .nfs* ___jb_tmp___ ___jb_old___ .fuse_hidden* .goutputstream-*",
  ".env .env.*",
]
  .join(" ")
  .split(" ");

export interface IgnoreRules {
  /** `path` is relative to the project, with '/'. A folder's parents are known not to be ignored: the walk comes from above. */
  ignores(path: string, folder: boolean): boolean;
  /** Reads the rule files of a folder again ("" is the root). */
  load(folder: string): void;
}

/** `leftOut`: files that do not belong to it whatever the rules say. */
export function createIgnoreRules(root: string, leftOut: readonly string[] = []): IgnoreRules {
  const base = ignore().add(defaults);
  const byFolder = new Map<string, Ignore>();
  const folders = new Map<string, boolean>(); // whether a folder, or one above it, is ignored

  function load(folder: string): void {
    folders.clear();
    const rules = ignore();
    let some = false;
    for (const name of ruleFiles) {
      try {
        rules.add(readFileSync(join(root, folder, name), "utf8"));
        some = true;
      } catch (error) {
        const code = errnoOf(error);
        if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "EISDIR")
          throw systemError(`reading ${join(folder, name)}`, error);
      }
    }
    if (some) byFolder.set(folder, rules);
    else byFolder.delete(folder);
  }

  /** Looks at this path alone: the deepest rule file that says something decides. */
  function matches(path: string, folder: boolean): boolean {
    const name = folder ? `${path}/` : path;
    if (leftOut.includes(path)) return true;
    let ignored = base.test(name).ignored;
    for (let at = 0; at !== -1; at = path.indexOf("/", at + 1)) {
      const rules = byFolder.get(at === 0 ? "" : path.slice(0, at));
      if (!rules) continue;
      const said = rules.test(at === 0 ? name : name.slice(at + 1));
      if (said.ignored) ignored = true;
      else if (said.unignored) ignored = false;
    }
    return ignored;
  }

  function ignoresFolder(path: string): boolean {
    const known = folders.get(path);
    if (known !== undefined) return known;
    const slash = path.lastIndexOf("/");
    const found = (slash > 0 && ignoresFolder(path.slice(0, slash))) || matches(path, true);
    folders.set(path, found);
    return found;
  }

  return {
    load,
    ignores(path, folder) {
      if (folder) return ignoresFolder(path);
      const slash = path.lastIndexOf("/");
      return (slash > 0 && ignoresFolder(path.slice(0, slash))) || matches(path, false);
    },
  };
}
