// ② The packages that a project's modules import, as one ES module: bundled once, and again when what is imported of them changes.

import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { wholePackage } from "./typescript-module.ts";

export interface Packages {
  code: string;
  /** By the path of what was imported: what is exported of it → the name in `code`. */
  names: Map<string, Record<string, string>>;
  /** Of all that it consists of, by path. */
  digests: Map<string, string>;
  /** Files, relative to the root. */
  inputs: Set<string>;
}

export const noPackages: Packages = { code: "", names: new Map(), digests: new Map(), inputs: new Set() };

export interface PackageBundler {
  /** `wanted`: path → names; `stale`: its files may have changed. Throws esbuild's failure. */
  bundle(wanted: ReadonlyMap<string, ReadonlySet<string>>, stale: boolean): Promise<Packages>;
}

export function createPackageBundler(root: string): PackageBundler {
  let last: { key: string; packages: Packages } | undefined;
  return {
    async bundle(wanted, stale) {
      if (wanted.size === 0) return noPackages;
      const key = JSON.stringify([...wanted].map(([path, names]) => [path, ...[...names].sort()]).sort());
      if (!stale && last?.key === key && !changedSince(root, last.packages)) return last.packages;
      last = { key, packages: await bundleAll(root, wanted) };
      return last.packages;
    },
  };
}

const stamps = new WeakMap<Packages, string>();

/** Installing a package writes its package.json, and npm's own list. */
const stampOf = (root: string, { inputs }: Packages): string => {
  const folders = [...inputs].flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  const files = ["node_modules/.package-lock.json", ...[...new Set(folders)].map((folder) => `${folder}/package.json`)];
  return files.map((file) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0).join(" ");
};

const changedSince = (root: string, packages: Packages): boolean => stamps.get(packages) !== stampOf(root, packages);

async function bundleAll(root: string, wanted: ReadonlyMap<string, ReadonlySet<string>>): Promise<Packages> {
  const names = new Map<string, Record<string, string>>();
  const lines: string[] = [];
  for (const [index, path] of [...wanted.keys()].sort().entries()) {
    const from = JSON.stringify(`./${path}`);
    const inside: Record<string, string> = {};
    names.set(path, inside);
    lines.push(`import ${from};`);
    for (const [at, name] of [...wanted.get(path)!].sort().entries()) {
      const local = `hob$${index}$${at}`;
      inside[name] = local;
      lines.push(
        name === wholePackage
          ? `import * as ${local} from ${from}; export { ${local} };`
          : `export { ${name} as ${local} } from ${from};`,
      );
    }
  }
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: lines.join("\n"),
      resolveDir: root,
      sourcefile: join(root, isModule(root) ? "hob-packages.mjs" : "hob-packages.js"),
      loader: "js",
    },
    absWorkingDir: root,
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    target: "node24",
    format: "esm",
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "silent",
  });
  const graph = metafile.inputs;
  const inputs = new Set(
    Object.keys(graph).filter((path) => !path.endsWith("hob-packages.mjs") && !path.endsWith("hob-packages.js")),
  );
  const contents = new Map<string, Buffer>();
  for (const path of inputs) contents.set(path, read(join(root, path)));
  const digests = new Map<string, string>();
  for (const path of wanted.keys()) {
    const hash = createHash("sha256").update([...wanted.get(path)!].sort().join(" "));
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      hash.update(`\n${file}\n`).update(contents.get(file) ?? "");
      for (const each of graph[file]?.imports ?? []) if (!each.external) visit(each.path);
    };
    visit(path);
    digests.set(path, hash.digest("hex"));
  }
  const packages = { code: withNodeNames(outputFiles[0]!.text), names, digests, inputs };
  stamps.set(packages, stampOf(root, packages));
  return packages;
}

/** What CommonJS code finds and an ES module has not; not where the code has made them itself. */
function withNodeNames(code: string): string {
  const needed = [
    ["require", "hobRequire"],
    ["__filename", "filename"],
    ["__dirname", "dirname"],
  ].filter(
    ([name]) =>
      new RegExp(`(?<![\\w$.])${name}(?![\\w$])`).test(code) &&
      !new RegExp(`(?:const|let|var|[,;{ ])\\s*${name}\\s*=[^=]`).test(code),
  );
  return needed.map(([name, field]) => `const ${name}=import.meta.${field};`).join("") + code;
}

function isModule(root: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { type?: string }).type === "module";
  } catch {
    return false;
  }
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0); // not a file: esbuild's own name for something that it leaves out
  }
}
