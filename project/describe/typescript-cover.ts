// ② What a version's digest covers: the definitions that its function reaches, packages, and files that it may open. Pure.

import { sha256 } from "../../base/content-folder.ts";
import type { Packages } from "./typescript-packages.ts";
import type { Reached, Unit } from "./typescript-reach.ts";

export interface Covered {
  /** Digest of the code. */
  code: string;
  parts: Record<string, string>;
  reader: { why: string; programs: boolean } | undefined;
  keepsState: boolean;
}

const importing = String.raw`(?:\b(?:require|import)\s*\(\s*|\bfrom\s*|\bimport\s*)["'](?:node:)?`;
const fileReader = new RegExp(`${importing}(fs|fs/promises)["']`);
const programRunner = new RegExp(`${importing}(child_process|worker_threads|module)["']`);

/** Why code may read data files of the project; with `programs`, also run or load code that is not in it. */
export function readsFiles(code: string): Covered["reader"] {
  const runner = programRunner.exec(code)?.[1];
  if (runner) return { why: `it uses ${runner}`, programs: true };
  if (/\bimport\((?!["'])/.test(code)) return { why: "it imports a computed name", programs: true };
  const reader = fileReader.exec(code)?.[1];
  return reader ? { why: `it uses ${reader}`, programs: false } : undefined;
}

const lives = new Set(["enter", "exit"]);

export function coverOf(reached: Reached, own: Unit, packages: Packages): Covered {
  const lines: string[] = [`${own.file} ${own.method}`];
  const groups = new Map<string, string[]>(); // part → what it consists of
  const add = (part: string, line: string): void => {
    lines.push(`${part} ${line}`);
    groups.set(part, [...(groups.get(part) ?? []), line]);
  };
  let keepsState = false;
  // What enter leaves is what loading has made; unless a method calls it again.
  const called = new Set(
    reached.statements.flatMap(({ statement, methods }) =>
      methods.flatMap((name) => [...statement.methods.get(name)!.properties]),
    ),
  );
  for (const { file, statement, methods } of reached.statements) {
    const mine = file === own.file && statement === reached.own;
    const part = file === own.file ? `code ${file}` : `bundle ${file}`;
    add(mine && !own.method ? "own" : part, statement.hash);
    keepsState ||= statement.writes;
    for (const name of methods) {
      const method = statement.methods.get(name)!;
      add(mine && name === own.method ? "own" : part, `${name} ${method.hash}`);
      keepsState ||= method.writes && !(lives.has(name) && !called.has(name));
    }
  }
  for (const path of [...reached.packages].sort()) {
    add(path.includes("node_modules/") ? `import ${path}` : `bundle ${path}`, packages.digests.get(path) ?? "");
  }
  const parts = Object.fromEntries([...groups].map(([part, all]) => [part, all.length === 1 ? all[0]! : sha256(all.join("\n"))]));
  return { code: sha256(lines.join("\n")), parts, reader: readerOf(reached, packages), keepsState };
}

function readerOf({ packages: used, natives }: Reached, packages: Packages): Covered["reader"] {
  const names = [...natives].map((name) => `import "${name}"`).join(";");
  const own = readsFiles(names);
  if (own?.programs || used.size === 0) return own;
  const inside = readsFiles(packages.code);
  return inside?.programs ? inside : (own ?? inside);
}
