// ② Bundles entries of a project with esbuild, incrementally: one context for as long as the entries stay the same.

import { readFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import {
  type BuildContext,
  type BuildFailure,
  type BuildResult,
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

export interface Bundler extends AsyncDisposable {
  /** `entries`: key → the text of a module that lies in the project's root. Entries that reach a faulty file are left out. */
  build(entries: ReadonlyMap<string, string>): Promise<{ bundles: Map<string, Bundle>; diagnostics: Diagnostic[] }>;
}

export interface BundlerOptions {
  root: string;
  /** What "hob" stands for. */
  sdkFile: string;
  /** The text to bundle for a file of the project; undefined for what the project does not hold (packages). */
  load(path: string): string | undefined;
}

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

export function createBundler({ root, sdkFile, load }: BundlerOptions): Bundler {
  let current: { keys: string; context: BuildContext<{ write: false; metafile: true }> } | undefined;
  let texts: ReadonlyMap<string, string> = new Map();
  const inputs = new Map<string, string[]>(); // key → files it was made of when it last could be

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
      build.onResolve({ filter: /^hob$/ }, () => ({ path: sdkFile }));
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, ({ path }) => {
        if (path.includes("/node_modules/")) return undefined;
        const contents = load(relative(root, path));
        return contents === undefined ? undefined : { contents, loader: loaders[extname(path)] ?? "ts" };
      });
    },
  };

  async function contextFor(keys: string[]): Promise<BuildContext<{ write: false; metafile: true }>> {
    const name = keys.join("\n");
    if (current?.keys === name) return current.context;
    await current?.context.dispose();
    current = undefined;
    const made = await context({
      entryPoints: keys.map((key, index) => ({ in: `hob-entry:${key}`, out: `entry-${index}` })),
      bundle: true,
      write: false,
      metafile: true,
      outdir: root,
      absWorkingDir: root,
      format: "cjs",
      platform: "node",
      target: "node24",
      sourcemap: "inline",
      sourcesContent: false,
      minifyWhitespace: true, // drops the comments that esbuild writes itself, so that they do not count
      legalComments: "none",
      logLevel: "silent",
      plugins: [plugin],
    });
    current = { keys: name, context: made };
    return made;
  }

  async function attempt(keys: string[], bundles: Map<string, Bundle>): Promise<Message[]> {
    if (keys.length === 0) return [];
    const made = await contextFor(keys);
    let result: BuildResult<{ write: false; metafile: true }>;
    try {
      result = await made.rebuild();
    } catch (error) {
      const failure = error as BuildFailure;
      if (!Array.isArray(failure.errors)) throw error;
      return failure.errors;
    }
    result.outputFiles.forEach((file, index) => {
      const key = keys[index]!;
      const output = result.metafile.outputs[relative(root, file.path)]!;
      const all = Object.entries(output.inputs);
      inputs.set(key, reachable(result.metafile.inputs, `hob-entry:${key}`));
      const files = all
        .filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && load(path) !== undefined)
        .map(([path]) => path);
      const data = Buffer.from(file.contents);
      const text = file.text;
      const code = text.slice(0, text.lastIndexOf("//# sourceMappingURL="));
      bundles.set(key, { data, digest: sha256(data), codeDigest: sha256(code), code, files: files.sort() });
    });
    return [];
  }

  async function build(
    entries: ReadonlyMap<string, string>,
  ): Promise<{ bundles: Map<string, Bundle>; diagnostics: Diagnostic[] }> {
    texts = entries;
    const bundles = new Map<string, Bundle>();
    const keys = [...entries.keys()].sort();
    const faults = await attempt(keys, bundles);
    if (faults.length > 0) {
      // The others go on: each that has been built before, of files among which none is faulty.
      const faulty = new Set(faults.map((fault) => fault.location?.file));
      const sound = keys.filter((key) => inputs.has(key) && !inputs.get(key)!.some((path) => faulty.has(path)));
      if (sound.length < keys.length) await attempt(sound, bundles);
    }
    return { bundles, diagnostics: faults.map((fault) => toDiagnostic(fault, root)) };
  }

  return {
    build,
    [Symbol.asyncDispose]: async () => {
      await current?.context.dispose();
    },
  };
}

/** The files that an entry imports, directly or not. */
function reachable(inputs: Metafile["inputs"], entry: string): string[] {
  const found = new Set([entry]);
  for (const path of found) for (const { path: imported } of inputs[path]?.imports ?? []) found.add(imported);
  return [...found];
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
