// ⑥ Bundles become functions here, and stack traces name the user's own lines.

import { readFileSync } from "node:fs";
import { createRequire, SourceMap } from "node:module";
import { dirname, join, posix } from "node:path";
import { compileFunction, constants } from "node:vm";
import type { Failure } from "./frames.ts";

interface Script {
  folder: string; // the project's
  path: string; // in it; "" where a source map says which source a line is of
  text: string; // with that map
  map: SourceMap | undefined | "not read yet";
  moves: LineMove[][]; // since it was compiled, oldest first
}

/** From line, to line, by how many lower. */
type LineMove = readonly [number, number, number];

interface Place {
  file: string; // relative to the project where it is one of its files
  line: number;
  column: number;
  source: string;
  own: boolean;
}

type TraceFrame = NonNullable<Failure["frames"]>[number];

const scripts = new Map<string, Script>(); // by the file that V8 knows them as
const framesOf = new WeakMap<object, TraceFrame[]>();
const mapPrefix = "//# sourceMappingURL=data:application/json;base64,";
const runnerFolder = new URL(".", import.meta.url).href;
const sdkFolder = new URL("..", import.meta.url).href;
/** esbuild names sources outside of the project by a path that climbs out of it. */
const sdkSource = /^\.\.\/(?:.*\/)?sdk\/typescript\/[a-z]+\.ts$/;

/** Runs a CommonJS bundle as the module that it was made from, and returns what it exports. */
export function evaluateBundle(text: string, folder: string, module: string, name: string): Record<string, unknown> {
  const moduleFile = join(folder, module);
  // Two functions of one module are two scripts, each with its own map.
  const file = `${moduleFile}#${name}`;
  registerScript(file, { folder, path: "", text });
  const wrapped = compileFunction(text, ["exports", "require", "module", "__filename", "__dirname"], {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }) as (...values: unknown[]) => void;
  const holder = { exports: {} as Record<string, unknown> };
  wrapped.call(holder.exports, holder.exports, createRequire(moduleFile), holder, moduleFile, dirname(moduleFile));
  return holder.exports;
}

/** Tells how positions in a script become positions in a source. Without `text` the script's lines and columns are the source's own. */
export function registerScript(file: string, { folder, path, text = "" }: { folder: string; path: string; text?: string }): void {
  scripts.set(file, { folder, path, text, map: "not read yet", moves: [] });
}

/** A patch has moved lines of a source: what goes on running was compiled from where they were. */
export function moveLines(path: string, folder: string, moves: LineMove[]): void {
  for (const script of scripts.values()) {
    if (script.path !== path) continue;
    script.moves.push(moves);
    script.folder = folder;
  }
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
      const file = site.getScriptNameOrSourceURL() ?? "";
      const line = site.getLineNumber() ?? 0;
      const column = site.getColumnNumber() ?? 0;
      if (file.startsWith(runnerFolder)) {
        if (lines.length > 0) break; // what called us is no concern of the user's
        continue;
      }
      const script = scripts.get(file);
      if (file.startsWith(sdkFolder)) continue;
      const place = script ? originOf(script, file, line, column) : { file, line, column, source: "", own: false };
      if (sdkSource.test(place.file)) continue;
      lines.push(`    at ${siteText(site, `${file}:${line}:${column}`, `${place.file}:${place.line}:${place.column}`)}`);
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

/** As V8 prints it, with the place exchanged. What was evaluated in place is of the module, and not "eval at …". */
function siteText(site: NodeJS.CallSite, before: string, place: string): string {
  if (!site.isEval()) return site.toString().replace(before, place);
  const name = site.getFunctionName();
  return name && name !== "eval" ? `${name} (${place})` : place;
}

function originOf(script: Script, scriptFile: string, line: number, column: number): Place {
  if (script.path) {
    const now = script.moves.reduce((at, moves) => at + (moves.find(([from, to]) => from <= at && at <= to)?.[2] ?? 0), line);
    return placeIn(script.path, now, column, readSource(join(script.folder, script.path)));
  }
  script.map = script.map === "not read yet" ? readMap(script.text) : script.map;
  const entry = script.map?.findEntry(line - 1, column - 1);
  if (!entry || !("originalSource" in entry)) return { file: scriptFile, line, column, source: "", own: false };
  const file = relativeSource(entry.originalSource, script.folder);
  const sources = script.map?.payload as { sources: string[]; sourcesContent?: (string | null)[] };
  const at = sources.sources.findIndex((source) => relativeSource(source, script.folder) === file);
  const text = sources.sourcesContent?.[at] ?? readSource(join(script.folder, file));
  return placeIn(file, entry.originalLine + 1, entry.originalColumn + 1, text);
}

function placeIn(file: string, line: number, column: number, text: string): Place {
  const source = text.split("\n", line)[line - 1]?.trim() ?? "";
  return { file, line, column, source, own: !file.startsWith("../") && !file.startsWith("/") && !file.includes("node_modules/") };
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
