// ⑥ Real runners without containers: spawned with a socket pair as fd 3, on a project folder of their own.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { build } from "esbuild";
import { runnerCommand } from "../../agent/runner/command.ts";
import { connectRunner } from "../../agent/runner/connect.ts";
import type {
  CallOutcome,
  ChildCall,
  InputResult,
  InputsEnd,
  LoadRequest,
  MapFrame,
  OutputLine,
  Runner,
  RunnerEvents,
} from "../../agent/runner/runner.ts";
import { sha256 } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";

export type Language = "python" | "typescript";
export const languages: Language[] = ["python", "typescript"];

export interface Harness extends AsyncDisposable {
  runner: Runner;
  process: ChildProcess;
  root: string;
  output: OutputLine[];
  started: string[];
  childCalls: ChildCall[];
  childCancels: string[];
  childWaits: string[];
  /** What hears of parts of streamed responses. */
  onPart: RunnerEvents["part"];
  unloaded: string[];
  /** What answers the calls that functions make; by default nothing does. */
  answer: (child: ChildCall) => void;
  /** What hears of the maps that functions make. */
  onMap: (frame: MapFrame) => void;
  /** Writes the files, and loads them as a new snapshot: whole at first, then as a delta. `functions` are MODULE::NAME. */
  load(
    files: Record<string, string>,
    functions: string[],
    retire?: string[],
  ): Promise<{ snapshot: string; ms: number; failure: Failure }>;
  /** The same, without loading it. */
  prepare(files: Record<string, string>, functions: string[], retire?: string[]): Promise<LoadRequest>;
  call(snapshot: string, name: string, args?: unknown[], options?: CallOptions): Promise<CallOutcome & { value?: unknown }>;
  /** Inputs of a map, each with one argument: what came of them, with all results as they came. */
  inputs(
    snapshot: string,
    name: string,
    values: unknown[],
    options?: { map?: string; timeoutMs?: number; heard?: (results: InputResult[]) => void },
  ): { results: InputResult[]; values(): unknown[]; ended: Promise<InputsEnd>; cancel(): void };
  /** Lets the function `which` return. */
  go(): void;
  /** Resolves with the first line of which `text` is a part. */
  line(text: string): Promise<OutputLine>;
}

type Failure = Awaited<ReturnType<Runner["load"]>>["failure"];

interface CallOptions {
  id?: string;
  keywords?: Record<string, unknown>;
  timeoutMs?: number;
  keepFrames?: boolean;
}

export async function startHarness(language: Language): Promise<Harness> {
  const root = mkdtempSync(join(tmpdir(), `hob-runner-${language}-`));
  const { args, env } = runnerCommand(language);
  const programs: Record<string, string> = {
    "/usr/local/bin/node": process.execPath,
    "/usr/bin/python3": process.env["HOB_TEST_PYTHON"] || "/usr/bin/python3",
  };
  const command = args.map((part) => programs[part] ?? part.replace(/^\/hob\//, `${installRoot}/sdk/`));
  const child = spawn(command[0] as string, command.slice(1), {
    env: {
      ...env,
      HOB_PROJECT_ROOT: root,
      NODE_COMPILE_CACHE: join(root, "node-cache"),
      PYTHONPATH: process.env["HOB_TEST_PYTHONPATH"] ?? "",
    },
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const output: OutputLine[] = [];
  const waiting: { text: string; resolve: (line: OutputLine) => void }[] = [];
  const harness = {
    output,
    root,
    process: child,
    started: [] as string[],
    childCalls: [] as ChildCall[],
    childCancels: [] as string[],
    childWaits: [] as string[],
    unloaded: [] as string[],
  };
  const runner = await connectRunner(child.stdio[3] as Duplex, {
    output(lines) {
      for (const line of lines) {
        output.push(line);
        for (const { text, resolve } of waiting) if (line.text.includes(text)) resolve(line);
      }
    },
    started: (call) => harness.started.push(call),
    childCall(request) {
      harness.childCalls.push(request);
      full.answer(request);
    },
    childCancel: (id) => harness.childCancels.push(id),
    childWait: (id) => harness.childWaits.push(id),
    part: (part) => full.onPart(part),
    map: (frame) => full.onMap(frame),
    unloaded: (snapshot) => harness.unloaded.push(snapshot),
  });

  const known = new Map<string, string>();
  const sent = new Set<string>();
  const versions = new Map<string, string>();
  let base = "";
  let calls = 0;

  async function prepare(files: Record<string, string>, functions: string[], retire: string[] = []): Promise<LoadRequest> {
    const changed = Object.entries(files).map(([path, text]) => ({ path, digest: sha256(text), text }));
    for (const { path, digest } of changed) known.set(path, digest);
    const snapshot = sha256([...known].join("\n"));
    const all: LoadRequest["blobs"] = changed.map(({ digest, text }) => ({ digest, data: Buffer.from(text) }));
    for (const [path, digest] of known) {
      const text = files[path] ?? texts.get(digest) ?? "";
      texts.set(digest, text);
      mkdirSync(dirname(join(root, snapshot, path)), { recursive: true });
      writeFileSync(join(root, snapshot, path), text);
    }
    const loaded: LoadRequest["versions"] = [];
    for (const entry of functions) {
      const [module = "", name = ""] = entry.split("::");
      const bundle = language === "typescript" ? await bundleOf(join(root, snapshot), module, name) : undefined;
      if (bundle) all.push(bundle);
      const version = {
        function: name,
        digest: sha256(`${snapshot} ${entry}`),
        module,
        qualname: name,
        bundle: bundle?.digest ?? "",
        ...{ className: "", keepsState: false, concurrency: 1, secrets: [] },
      };
      versions.set(`${snapshot} ${name}`, version.digest);
      loaded.push(version);
    }
    const blobs = all.filter(({ digest }) => !sent.has(digest) && sent.add(digest));
    const request = {
      app: "test",
      snapshot,
      base,
      changed: changed.map(({ path, digest }) => ({ path, digest })),
      removed: [],
      blobs,
    };
    base = snapshot;
    return { ...request, versions: loaded, retire, patches: [], secrets: {} };
  }
  const texts = new Map<string, string>();

  const full: Harness = Object.assign(harness, {
    runner,
    answer: () => {},
    onMap: () => {},
    onPart: () => {},
    prepare,
    async load(files: Record<string, string>, functions: string[], retire?: string[]) {
      const request = await prepare(files, functions, retire);
      const { ms, failure } = await runner.load(request);
      return { snapshot: request.snapshot, ms, failure };
    },
    async call(snapshot: string, name: string, values: unknown[] = [], options: CallOptions = {}) {
      const outcome = await runner.call({
        call: options.id ?? `call-${++calls}`,
        snapshot,
        version: versions.get(`${snapshot} ${name}`) ?? "",
        function: name,
        positional: Buffer.from(JSON.stringify(values)),
        keywords: Buffer.from(options.keywords ? JSON.stringify(options.keywords) : ""),
        timeoutMs: options.timeoutMs ?? 0,
        keepFrames: options.keepFrames ?? false,
      });
      return outcome.result ? { ...outcome, value: JSON.parse(outcome.result.json.toString()) as unknown } : outcome;
    },
    inputs(
      snapshot: string,
      name: string,
      given: unknown[],
      options: { map?: string; timeoutMs?: number; heard?: (results: InputResult[]) => void } = {},
    ) {
      const results: InputResult[] = [];
      const request = {
        map: options.map ?? "map-1",
        ...{ snapshot, function: name, version: versions.get(`${snapshot} ${name}`) ?? "" },
        inputs: given.map((value, index) => {
          return { index, positional: Buffer.from(JSON.stringify([value])), keywords: new Uint8Array() };
        }),
        timeoutMs: options.timeoutMs ?? 0,
      };
      const running = runner.inputs(request, (more) => {
        results.push(...more);
        options.heard?.(more);
      });
      const pairOf = ({ index, result, failure: failed }: InputResult) => [
        index,
        result ? (JSON.parse(result.json.toString()) as unknown) : `${failed?.kind}: ${failed?.message}`,
      ];
      return { ...running, results, values: () => results.map(pairOf) };
    },
    go: () => writeFileSync(join(root, "go"), ""),
    line(text: string) {
      const found = output.find((line) => line.text.includes(text));
      if (found) return Promise.resolve(found);
      return new Promise<OutputLine>((resolve) => waiting.push({ text, resolve }));
    },
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      rmSync(root, { recursive: true, force: true });
    },
  });
  return full;
}

/** What project/describe makes of a TypeScript function. */
async function bundleOf(root: string, module: string, name: string): Promise<{ digest: string; data: Uint8Array }> {
  const result = await build({
    stdin: {
      contents: `export { ${name} as default } from "./${module}";`,
      resolveDir: root,
      sourcefile: "entry.ts",
      loader: "ts",
    },
    absWorkingDir: root,
    bundle: true,
    write: false,
    format: "cjs",
    platform: "node",
    target: "node24",
    sourcemap: "inline",
    outfile: join(root, "bundle.js"),
    nodePaths: [join(installRoot, "node_modules")],
    alias: { hob: join(installRoot, "sdk/typescript/index.ts") },
    logLevel: "silent",
  });
  const data = result.outputFiles[0]?.contents as Uint8Array;
  return { digest: sha256(data), data };
}
