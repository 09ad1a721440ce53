// ⑥ Bundles become functions here, and stack traces name the user's own lines.

import { readFileSync } from "node:fs";
import { createRequire, SourceMap } from "node:module";
import { dirname, join, posix } from "node:path";
import { compileFunction, constants } from "node:vm";
import type { Failure } from "./frames.ts";

interface Bundle {
  file: string; // as V8 knows the script
  folder: string; // the project's
  text: string;
  map: SourceMap | undefined | "not read yet";
}

interface Place {
  file: string; // relative to the project where it is one of its files
  line: number;
  column: number;
  source: string;
  own: boolean;
}

type TraceFrame = NonNullable<Failure["frames"]>[number];

const bundles = new Map<string, Bundle>();
const framesOf = new WeakMap<object, TraceFrame[]>();
const mapPrefix = "//# sourceMappingURL=data:application/json;base64,";
const runnerFolder = new URL(".", import.meta.url).href;
/** esbuild names sources outside of the project by a path that climbs out of it. */
const sdkSource = /^\.\.\/(?:.*\/)?sdk\/typescript\/[a-z]+\.ts$/;

/** Runs a CommonJS bundle as the module that it was made from, and returns what it exports. */
export function evaluateBundle(text: string, folder: string, module: string, name: string): Record<string, unknown> {
  const moduleFile = join(folder, module);
  // Two functions of one module are two scripts, each with its own map.
  const file = `${moduleFile}#${name}`;
  bundles.set(file, { file, folder, text, map: "not read yet" });
  const wrapped = compileFunction(text, ["exports", "require", "module", "__filename", "__dirname"], {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }) as (...values: unknown[]) => void;
  const holder = { exports: {} as Record<string, unknown> };
  wrapped.call(holder.exports, holder.exports, createRequire(moduleFile), holder, moduleFile, dirname(moduleFile));
  return holder.exports;
}

/** Outermost first. Empty when the error's stack was made by somebody else. */
export function traceFrames(error: Error): TraceFrame[] {
  void error.stack; // V8 formats a stack when it is first read
  return framesOf.get(error) ?? [];
}

/** Maps stacks lazily: an error that nobody prints costs nothing. */
export function installStackTraces(): void {
  Error.prepareStackTrace = (error, sites) => {
    const lines: string[] = [];
    const frames: TraceFrame[] = [];
    for (const site of sites) {
      const file = site.getFileName() ?? "";
      const line = site.getLineNumber() ?? 0;
      const column = site.getColumnNumber() ?? 0;
      if (file.startsWith(runnerFolder)) continue;
      const bundle = bundles.get(file);
      const place = bundle ? originOf(bundle, line, column) : { file, line, column, source: "", own: false };
      if (sdkSource.test(place.file)) continue;
      lines.push(`    at ${site.toString().replace(`${file}:${line}:${column}`, `${place.file}:${place.line}:${place.column}`)}`);
      if (file && !file.startsWith("node:")) frames.unshift({ ...place, function: site.getFunctionName() ?? "" });
    }
    framesOf.set(error, frames);
    return [headline(error), ...lines].join("\n");
  };
}

function headline(error: Error): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return "Error"; // a message that cannot be turned into text
  }
}

function originOf(bundle: Bundle, line: number, column: number): Place {
  bundle.map = bundle.map === "not read yet" ? readMap(bundle.text) : bundle.map;
  const entry = bundle.map?.findEntry(line - 1, column - 1);
  if (!entry || !("originalSource" in entry)) return { file: bundle.file, line, column, source: "", own: false };
  const file = relativeSource(entry.originalSource, bundle.folder);
  const sources = bundle.map?.payload as { sources: string[]; sourcesContent?: (string | null)[] };
  const at = sources.sources.findIndex((source) => relativeSource(source, bundle.folder) === file);
  const text = sources.sourcesContent?.[at] ?? readSource(join(bundle.folder, file));
  return {
    file,
    line: entry.originalLine + 1,
    column: entry.originalColumn + 1,
    source: text.split("\n", entry.originalLine + 1)[entry.originalLine]?.trim() ?? "",
    own: !file.startsWith("../") && !file.startsWith("/") && !file.includes("node_modules/"),
  };
}

function readMap(text: string): SourceMap | undefined {
  const at = text.lastIndexOf(mapPrefix);
  if (at < 0) return undefined;
  return new SourceMap(JSON.parse(Buffer.from(text.slice(at + mapPrefix.length).trimEnd(), "base64").toString()));
}

function relativeSource(source: string, folder: string): string {
  const path = source.replace(/^file:\/\//, "");
  return posix.normalize(path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path);
}

function readSource(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // a map without contents, of a file that the snapshot lacks: the frame has no line then
  }
}
