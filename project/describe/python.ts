// ② Describes a project's Python through a resident interpreter (python/describe.py), spoken to in JSON lines.

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { sha256 } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { installRoot } from "../../base/install.ts";
import { type Backoff, type Endpoint, FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import type { Diagnostic } from "../events.ts";
import { dataDigest, type Snapshot } from "../snapshot.ts";
import { type DescribedFunction, specText } from "./changes.ts";
import { type EvaluatedImage, imageOf } from "./image.ts";
import type { LoadedCode, ModuleTexts, Unit } from "./patches.ts";
import { checkSchedule, type EvaluatedSchedule, scheduleOf } from "./schedule.ts";

export interface SourceChanges {
  changed: { path: string; source: string }[];
  removed: string[];
  /** Files of other kinds that have changed, come or gone: a bundle may hold one of them. */
  others?: string[];
}

export interface LanguageDescription {
  functions: DescribedFunction[];
  diagnostics: Diagnostic[];
}

export interface LanguageDescriber extends AsyncDisposable {
  /** Takes what has changed since the last request; `snapshot` is the project with those changes. One request at a time. */
  describe(changes: SourceChanges, snapshot: Snapshot): Promise<LanguageDescription>;
  /** A request is about to come. */
  rouse?(): void;
}

/** One function in python/describe.py's answer. */
interface Answered {
  app: string;
  name: string;
  kind: "function" | "endpoint" | "asgi" | "local" | "cls";
  module: string;
  qualname: string;
  line: number;
  doc: string;
  parameters: FunctionSpec["parameters"];
  returns: string;
  spec: EvaluatedSpec | null;
  code: string;
  files: string[];
  any: { files?: string; programs?: string };
  held: boolean;
  className: string;
  /** With these comes all of `Reason`; they are there when the code is not what the last answer had. */
  parts?: Record<string, string>;
}

/** What is told of a function's code when that has changed. */
interface Reason {
  parts: Record<string, string>;
  whole: Record<string, string>;
  units: Record<string, Unit>;
  fixed: Record<string, string>;
  where: Record<string, [path: string, names: string, changeable: boolean]>;
  modules: string[];
  keepsState: boolean;
  stores: boolean;
}

/** What `Function.spec` of the SDKs holds. */
export interface EvaluatedSpec {
  name: string;
  image?: EvaluatedImage;
  cpu?: number | null;
  memory_bytes?: number | null;
  timeout_ms?: number | null;
  retries?: number | null;
  backoff?: { delay_ms: number; factor: number; max_delay_ms: number } | null;
  min_containers?: number | null;
  max_containers?: number | null;
  gpu?: string | null;
  buffer_containers?: number | null;
  concurrency?: number | null;
  idle_timeout_ms?: number | null;
  network?: string | null;
  secrets?: string[] | null;
  schedule?: EvaluatedSchedule | null;
  endpoint?: { kind: string; path: string; methods: string[]; access: string; max_body_bytes: number } | null;
}

interface Answer {
  id: number;
  functions: (Answered & Partial<Reason>)[];
  diagnostics: Diagnostic[];
  /** Of modules that changed since the last answer. */
  texts: Record<string, ModuleTexts>;
  error?: string;
}

/** HOB_PYTHON, the distribution's Python, or the first on PATH; the SDK needs 3.9. */
function findPython(): string {
  const onPath = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  for (const candidate of [process.env["HOB_PYTHON"], "/usr/bin/python3", ...onPath.map((folder) => join(folder, "python3"))]) {
    if (!candidate) continue;
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // not this one
    }
  }
  throw new HobError("precondition", "describing the project's Python needs a python3, and there is none on PATH", {
    remedy: "install Python 3.9 or newer",
  });
}

/** Starts with the first request. `sdk` is the folder that holds the package hob. An interpreter that dies is started again. */
export function createPythonDescriber(sdk: string = join(installRoot, "sdk", "python")): LanguageDescriber {
  const script = join(installRoot, "project", "describe", "python", "describe.py");
  const sources = new Map<string, string>();
  const reasons = new Map<string, Reason>();
  const served = new Map<string, DescribedFunction>();
  let texts: ReadonlyMap<string, ModuleTexts> = new Map();
  let running: { child: ChildProcess; said: string[] } | undefined;
  let waiting: { resolve(answer: Answer): void; reject(cause: Error): void } | undefined;
  let requests = 0;

  function start(): { child: ChildProcess; said: string[] } {
    const child = spawn(findPython(), ["-I", "-S", "-B", script, sdk], { stdio: ["pipe", "pipe", "pipe"] });
    const started = { child, said: [] as string[] };
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const answer = JSON.parse(line) as Answer;
      waiting?.resolve(answer);
    });
    createInterface({ input: child.stderr! }).on("line", (line) => {
      started.said.push(line);
      if (started.said.length > 20) started.said.shift();
    });
    const ended = (reason: string): void => {
      if (running === started) running = undefined;
      const last = started.said.at(-1);
      const text = `describing the project's Python: the interpreter ended (${reason})${last ? `: ${last}` : ""}`;
      waiting?.reject(new HobError("internal", text));
    };
    child.on("error", (error) => ended(error.message));
    child.on("close", (code, signal) => ended(signal ?? `exit ${code}`));
    child.stdin!.on("error", () => {}); // the process has ended: "close" tells
    return started;
  }

  async function ask(changes: SourceChanges): Promise<Answer> {
    if (!running) {
      running = start();
      changes = { changed: [...sources].map(([path, source]) => ({ path, source })), removed: [] };
    }
    const { child } = running;
    const answer = new Promise<Answer>((resolve, reject) => {
      waiting = { resolve, reject };
    });
    child.stdin!.write(`${JSON.stringify({ id: ++requests, ...changes })}\n`);
    try {
      return await answer;
    } finally {
      waiting = undefined;
    }
  }

  async function describe(changes: SourceChanges, snapshot: Snapshot): Promise<LanguageDescription> {
    for (const { path, source } of changes.changed) sources.set(path, source);
    for (const path of changes.removed) sources.delete(path);
    if (sources.size === 0 && !running) return { functions: [], diagnostics: [] };
    const answer = await ask(changes);
    if (answer.error !== undefined) throw new HobError("internal", `describing the project's Python: ${answer.error}`);
    const functions: DescribedFunction[] = [];
    const { diagnostics } = answer;
    const fresh = Object.entries(answer.texts);
    if (fresh.length > 0) texts = new Map([...texts, ...fresh]);
    for (const said of answer.functions) {
      const key = `${said.app}/${said.name}`;
      if (said.parts) reasons.set(key, reasonOf(said));
      const reason = reasons.get(key)!;
      const loaded = { modules: reason.modules, where: reason.where, texts };
      const described = completed(said, { reason, loaded }, snapshot, diagnostics) ?? kept(served.get(key));
      if (!described) continue;
      served.set(key, described);
      functions.push(described);
    }
    return { functions, diagnostics };
  }

  /** Undefined when its decorator, or its image, says what cannot be; the diagnostics then tell. */
  function completed(
    said: Answered,
    known: { reason: Reason; loaded: LoadedCode },
    snapshot: Snapshot,
    diagnostics: Diagnostic[],
  ): DescribedFunction | undefined {
    try {
      return said.spec ? complete(said, said.spec, known, snapshot) : undefined;
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      const { module: file, line } = said;
      const sourceLine = sources.get(file)?.split("\n")[line - 1] ?? "";
      diagnostics.push({ file, line, column: 1, message: `${said.name}: ${error.sentence}`, sourceLine });
      return undefined;
    }
  }

  return {
    describe,
    rouse() {
      if (running && !waiting) running.child.stdin?.write("\n");
    },
    async [Symbol.asyncDispose]() {
      const child = running?.child;
      running = undefined;
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.stdin!.end(); // the end of its input ends it
      const kill = setTimeout(() => child.kill("SIGKILL"), 1_000);
      await closed;
      clearTimeout(kill);
    },
  };
}

/** A function whose decorator cannot be evaluated keeps what it had. */
const kept = (described: DescribedFunction | undefined): DescribedFunction | undefined =>
  described && { ...described, held: true };

function reasonOf({ parts, whole, units, fixed, where, modules, keepsState, stores }: Partial<Reason>): Reason {
  return {
    ...{ parts: parts ?? {}, whole: whole ?? {}, units: units ?? {}, fixed: fixed ?? {}, where: where ?? {} },
    ...{ modules: modules ?? [], keepsState: keepsState ?? true, stores: stores ?? true },
  };
}

function complete(
  said: Answered,
  spec: EvaluatedSpec,
  { reason, loaded }: { reason: Reason; loaded: LoadedCode },
  snapshot: Snapshot,
): DescribedFunction {
  const { app, module, qualname, className, parameters, doc, line, returns } = said;
  const declared = { app, language: "python", module, qualname, className, parameters, doc, line, returns };
  const full = toFunctionSpec(spec, declared, snapshot);
  const files: Record<string, string> = {};
  for (const path of said.files) {
    const digest = snapshot.files.get(path)?.digest;
    if (digest !== undefined) files[`file ${path}`] = digest;
  }
  const { files: reads, programs: runs } = said.any;
  const any = runs ? snapshot.digest : reads ? dataDigest(snapshot) : "";
  const parts = { ...reason.parts, ...files, ...(any && { files: any }) };
  const digest = sha256([said.code, ...Object.entries(files).flat(), parts["files"] ?? "", specText(full)].join("\n"));
  const why = runs ?? reads;
  const whole = why ? { ...reason.whole, files: why } : reason.whole;
  const { units, fixed, keepsState, stores } = reason;
  const calls = { keepsState, stores };
  const kind = said.kind === "local" ? "local" : "function";
  return { kind, spec: full, digest, code: said.code, parts, whole, units, fixed, loaded, ...calls, held: said.held };
}

/**
 * The wire's form of what a decorator or an options object evaluated to, with what the syntax tree knows, and the snapshot's files that its
 * image copies. Throws a HobError when there are none.
 */
export function toFunctionSpec(spec: EvaluatedSpec, declared: Partial<FunctionSpec>, snapshot: Snapshot): FunctionSpec {
  const image = imageOf(spec.image, snapshot);
  const made = FunctionSpec.fromPartial({
    ...declared,
    name: spec.name,
    cpu: spec.cpu ?? 0,
    memoryBytes: spec.memory_bytes ?? 0,
    timeoutMs: spec.timeout_ms ?? 0,
    retries: spec.retries ?? 0,
    ...(spec.backoff ? { backoff: backoffOf(spec.backoff) } : {}),
    minContainers: spec.min_containers ?? 0,
    maxContainers: spec.max_containers ?? 0,
    gpu: spec.gpu ?? "",
    bufferContainers: spec.buffer_containers ?? 0,
    concurrency: spec.concurrency ?? 1,
    idleTimeoutMs: spec.idle_timeout_ms ?? 0,
    network: spec.network ?? "internet",
    secrets: spec.secrets ?? [],
    ...(spec.schedule ? { schedule: scheduleOf(spec.schedule) } : {}),
    ...(spec.endpoint ? { endpoint: endpointOf(spec.endpoint) } : {}),
  });
  checkSchedule(made);
  return { ...made, image }; // not a copy of it
}

const endpointOf = ({ max_body_bytes: maxBodyBytes, ...rest }: NonNullable<EvaluatedSpec["endpoint"]>): Endpoint => ({
  ...rest,
  maxBodyBytes,
});

const backoffOf = ({ delay_ms: delayMs, factor, max_delay_ms: maxDelayMs }: NonNullable<EvaluatedSpec["backoff"]>): Backoff => ({
  ...{ delayMs, factor, maxDelayMs },
});
