// ② Bundles entries of one module of a project with esbuild, incrementally, for as long as the entries stay the same.

import { readFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import {
  type BuildContext,
  type BuildFailure,
  type BuildOptions,
  build as buildOnce,
  context,
  type Loader,
  type Message,
  type Metafile,
  type Plugin,
} from "esbuild";
import { type Digest, sha256 } from "../../base/content-folder.ts";
import type { Diagnostic } from "../events.ts";

export interface Bundle {
  /** With an inline source map. */
  data: Buffer;
  digest: Digest;
  /** Of the code alone: what decides whether anything has changed. */
  codeDigest: Digest;
  code: string;
  /** The project's files that contribute to it. */
  files: string[];
}

export interface Built {
  /** By the entries' keys; empty when there are faults. */
  bundles: Map<string, Bundle>;
  diagnostics: Diagnostic[];
  /** What imports lead to: file → specifier → path in the project or of a package, "external" for Node's own and for packages that are not here. */
  imports: Map<string, Map<string, string>>;
  /** Packages that are not here, left to the image; each with what to say where the image has none such. */
  absent: Map<string, Diagnostic[]>;
}

export interface Bundler extends AsyncDisposable {
  /**
   * `entries`: key → the text of a module that lies in the project's root. `changed` are the files that may be others than at the last
   * build; undefined when files have come or gone, so that imports may mean others.
   */
  build(entries: ReadonlyMap<string, string>, changed: readonly string[] | undefined): Promise<Built>;
}

export interface BundlerOptions {
  root: string;
  /** The text of the module "hob": bundleSdk. */
  sdk: Promise<string>;
  /** The text to bundle for a file of the project; undefined for what the project does not hold (packages). */
  load(path: string): string | undefined;
}

/** An imported file of another kind (JSON, text): not of a package, of a namespace of ours, or outside the project. */
const ofProject = /^(?!\.\.\/|node_modules\/|.*\/node_modules\/)[^:<]+$/;

/** What esbuild says of a package that it does not find; its name without what is inside it. */
const unresolvedPackage = /^Could not resolve "((?:@[^/"]+\/)?[^./@"][^/"]*)(?:\/[^"]*)?"$/;

const loaders: Record<string, Loader> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
  ".jsx": "jsx",
  ".js": "jsx",
  ".mjs": "js",
  ".cjs": "js",
};

const common = {
  bundle: true,
  write: false,
  platform: "node",
  target: "node24",
  minifyWhitespace: true, // drops the comments that esbuild writes itself, so that they do not count
  legalComments: "none",
  logLevel: "silent",
} as const satisfies BuildOptions;

/** The SDK as one module: bundled once, since every file that esbuild asks a plugin for costs a trip to its process and back. */
export async function bundleSdk(file: string): Promise<string> {
  const { outputFiles } = await buildOnce({ ...common, entryPoints: [file], format: "esm" });
  return outputFiles[0]!.text;
}

export function createBundler({ root, sdk, load }: BundlerOptions): Bundler {
  let absent: Built["absent"] = new Map();
  let current: { keys: string; context: BuildContext<{ write: false; metafile: true }> } | undefined;
  let texts: ReadonlyMap<string, string> = new Map();
  let inputs = new Set<string>(); // every file that the last build read
  let last: Built | undefined;

  const plugin: Plugin = {
    name: "hob",
    setup(build) {
      build.onResolve({ filter: /^hob-entry:/ }, ({ path }) => ({
        path: path.slice("hob-entry:".length),
        namespace: "hob-entry",
      }));
      build.onLoad({ filter: /.*/, namespace: "hob-entry" }, ({ path }) => ({
        contents: texts.get(path) ?? "",
        resolveDir: root,
        loader: "ts",
      }));
      build.onResolve({ filter: /^hob$/ }, () => ({ path: "hob", namespace: "hob-sdk" }));
      build.onLoad({ filter: /.*/, namespace: "hob-sdk" }, async () => ({ contents: await sdk, loader: "js" }));
      const own = new RegExp(`^${root.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}/.*\\.[cm]?[jt]sx?$`);
      build.onLoad({ filter: own }, ({ path }) => {
        const contents = load(relative(root, path));
        return contents === undefined ? undefined : { contents, loader: loaders[extname(path)] ?? "ts" };
      });
    },
  };

  async function contextFor(keys: string[]): Promise<BuildContext<{ write: false; metafile: true }>> {
    const name = [...keys, ...absent.keys()].join("\n");
    if (current?.keys === name) return current.context;
    await current?.context.dispose();
    current = undefined;
    const made = await context({
      ...common,
      entryPoints: keys.map((key, index) => ({ in: `hob-entry:${key}`, out: `entry-${index}` })),
      metafile: true,
      outdir: root,
      absWorkingDir: root,
      format: "cjs",
      sourcemap: "inline",
      sourcesContent: false,
      plugins: [plugin],
      external: [...absent.keys()].flatMap((each) => [each, `${each}/*`]),
    });
    current = { keys: name, context: made };
    return made;
  }

  async function build(entries: ReadonlyMap<string, string>, changed: readonly string[] | undefined): Promise<Built> {
    const keys = [...entries.keys()].sort();
    if (!changed) absent = new Map(); // they may have come
    const same = current?.keys === [...keys, ...absent.keys()].join("\n") && last?.diagnostics.length === 0;
    if (same && changed && !changed.some((path) => inputs.has(path))) return last!;
    texts = entries;
    return await buildAnew(keys);
  }

  async function buildAnew(keys: string[]): Promise<Built> {
    const made = await contextFor(keys);
    try {
      const { outputFiles, metafile } = await made.rebuild();
      inputs = new Set(Object.keys(metafile.inputs));
      const bundles = outputFiles.map(
        (file, index) => [keys[index]!, read(file.text, file.contents, metafile, relative(root, file.path))] as const,
      );
      last = { bundles: new Map(bundles), diagnostics: [], imports: importsOf(metafile), absent };
    } catch (error) {
      const failure = error as BuildFailure;
      if (!Array.isArray(failure.errors)) throw error;
      const lacking = Map.groupBy(failure.errors, ({ text }) => unresolvedPackage.exec(text)?.[1] ?? "");
      lacking.delete("");
      if (lacking.size > 0) {
        const told = [...lacking].map(([name, faults]) => [name, faults.map((fault) => toDiagnostic(fault, root))] as const);
        absent = new Map([...absent, ...told]);
        return await buildAnew(keys);
      }
      const diagnostics = failure.errors.map((fault) => toDiagnostic(fault, root));
      last = { bundles: new Map(), diagnostics, imports: new Map(), absent };
    }
    return last;
  }

  function read(text: string, contents: Uint8Array, metafile: Metafile, output: string): Bundle {
    const data = Buffer.from(contents);
    const code = text.slice(0, text.lastIndexOf("//# sourceMappingURL="));
    const files = Object.entries(metafile.outputs[output]!.inputs)
      .filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && (load(path) !== undefined || ofProject.test(path)))
      .map(([path]) => path)
      .sort();
    return { data, digest: sha256(data), codeDigest: sha256(code), code, files };
  }

  return {
    build,
    [Symbol.asyncDispose]: async () => {
      await current?.context.dispose();
    },
  };
}

function importsOf({ inputs }: Metafile): Built["imports"] {
  const found: Built["imports"] = new Map();
  for (const [path, { imports }] of Object.entries(inputs)) {
    if (!ofProject.test(path)) continue;
    const targets = new Map<string, string>();
    for (const each of imports) {
      const from = each.original ?? each.path;
      // An import that nothing uses is not followed, and told as external: another one of the same module says where it leads.
      if (!each.external) targets.set(from, each.path);
      else if (!targets.has(from)) targets.set(from, "external");
    }
    found.set(path, targets);
  }
  return found;
}

function toDiagnostic({ text, location }: Message, root: string): Diagnostic {
  if (!location) return { file: "", line: 0, column: 0, message: text, sourceLine: "" };
  const sourceLine = readLine(join(root, location.file), location.line) ?? location.lineText;
  return { file: location.file, line: location.line, column: location.column + 1, message: text, sourceLine };
}

/** The line as it stands in the file: what esbuild was given may have had marks put into it. */
function readLine(path: string, line: number): string | undefined {
  try {
    return readFileSync(path, "utf8").split("\n")[line - 1];
  } catch {
    return undefined; // not a file: esbuild's own text of the line serves
  }
}
