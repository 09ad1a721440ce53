// ⑥ The process of a snapshot: evaluates bundles and runs calls, one after the other. Started as a spare, it waits for its load.

import { randomBytes } from "node:crypto";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { installChannel } from "../channel.ts";
import { decodeValue, EncodingError, encodeValue } from "../values.ts";
import { evaluateBundle, installStackTraces } from "./evaluate.ts";
import { failureOf } from "./failures.ts";
import {
  createFrameDecoder,
  cutPayload,
  encodeFrame,
  type Failure,
  type Frame,
  type FrameName,
  type Heads,
  maxFrameBytes,
  maxHeadBytes,
  protocolVersion,
} from "./frames.ts";

type Body = (...args: unknown[]) => unknown;
type Outcome = { failure: Failure } | { json: string };

const folderWaitMs = 5_000;
const projectRoot = process.env["HOB_PROJECT_ROOT"] || "/project";
const socket = new Socket({ fd: 3 });
const decode = createFrameDecoder();
const loaded = new Map<string, { body: Body } | { failure: Failure }>(); // by version digest
const children = new Map<string, (outcome: Outcome) => void>(); // calls that functions made
let current = ""; // the call that runs

function send<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): void {
  socket.write(encodeFrame(name, head, ...payload));
}

function receive(frame: Frame): void {
  if (frame.name === "load") load(frame.head, frame.payload);
  else if (frame.name === "call")
    void call(frame.head, frame.payload); // never rejects: what is thrown is an outcome
  else if (frame.name === "childResult") {
    const { id, failure } = frame.head;
    children.get(id)?.(failure ? { failure } : { json: frame.payload.toString() });
    children.delete(id);
  }
}

function load(head: Heads["load"], payload: Buffer): void {
  const folder = join(projectRoot, head.snapshot);
  const texts = new Map<string, string>();
  const pieces = cutPayload(payload, ...head.blobs.map((blob) => blob.size));
  for (const [at, blob] of head.blobs.entries()) texts.set(blob.digest, pieces[at]?.toString() ?? "");
  const missing = enter(folder);
  if (missing) {
    send("loaded", { load: head.load, failure: missing });
    return;
  }
  let failure: Failure | undefined;
  for (const version of head.versions) {
    const result = evaluate(texts.get(version.bundle), folder, version.module, version.qualname);
    loaded.set(version.digest, result);
    if ("failure" in result) failure ??= result.failure;
  }
  send("loaded", failure ? { load: head.load, failure } : { load: head.load });
}

/** Makes the folder the current one. It appears beside the load, not before it; a lookup waits for it, for about a second each. */
function enter(folder: string): Failure | undefined {
  const deadlineMs = performance.now() + folderWaitMs;
  for (;;) {
    try {
      process.chdir(folder);
      return undefined;
    } catch (error) {
      const message = `the project's folder ${folder} did not appear: ${error instanceof Error ? error.message : ""}`;
      if (performance.now() > deadlineMs) return { kind: "infrastructure", message };
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20); // a pause; there is nothing else to do here
    }
  }
}

function evaluate(text: string | undefined, folder: string, module: string, name: string): { body: Body } | { failure: Failure } {
  if (text === undefined)
    return { failure: { kind: "infrastructure", message: `${name}: its bundle is no longer in this container` } };
  try {
    const found = evaluateBundle(text, folder, module, name)["default"];
    if (typeof found !== "function") return { failure: { kind: "load", message: `${module} exports no function ${name}` } };
    return { body: (Reflect.get(found, Symbol.for("hob.function")) ?? found) as Body };
  } catch (error) {
    return { failure: failureOf(error, "load") };
  }
}

async function call(head: Heads["call"], payload: Buffer): Promise<void> {
  current = head.call;
  let beganAtMs = performance.now();
  let ms = 0;
  let outcome: Outcome;
  try {
    const body = bodyOf(head);
    if (typeof body !== "function") outcome = { failure: body };
    else {
      const [positional = Buffer.alloc(0), keywords = Buffer.alloc(0)] = cutPayload(payload, head.positional, head.keywords);
      const args = decodeValue(positional.toString()) as unknown[];
      const refusal = refusedArguments(head.function, body, args, keywords.toString());
      beganAtMs = performance.now();
      const value = refusal ? undefined : await settle(body(...args));
      ms = performance.now() - beganAtMs;
      outcome = refusal ? { failure: refusal } : { json: encodeValue(value) };
    }
  } catch (error) {
    ms ||= performance.now() - beganAtMs;
    const message = `${head.function}: ${error instanceof Error ? error.message : ""}`;
    const encoding: Failure = { kind: "encoding", type: "TypeError", message };
    outcome = { failure: error instanceof EncodingError ? encoding : failureOf(error, "exception") };
  }
  finish(outcome, ms);
}

function bodyOf(head: Heads["call"]): Body | Failure {
  const found = loaded.get(head.version);
  if (found) return "body" in found ? found.body : found.failure;
  return { kind: "load", message: `${head.function}: version ${head.version.slice(0, 12)} has not been loaded here` };
}

function finish(outcome: Outcome, ms: number): void {
  if (!current) return; // an uncaught exception has already ended the call
  const head = { call: current, runMs: Math.round(ms * 1000) / 1000 };
  current = "";
  const json = "json" in outcome ? Buffer.from(outcome.json) : Buffer.alloc(0);
  const limit = maxFrameBytes - maxHeadBytes;
  const message = `the result is ${json.byteLength >> 20} MiB as JSON; return at most ${limit >> 20} MiB`;
  if ("failure" in outcome) send("result", { ...head, failure: outcome.failure });
  else if (json.byteLength > limit) send("result", { ...head, failure: { kind: "encoding", message } });
  else send("result", head, json);
}

/** Generators, async ones too, are collected to a list. */
async function settle(result: unknown): Promise<unknown> {
  const value = await result;
  if (typeof value !== "object" || value === null || !("next" in value)) return value;
  if (!(Symbol.asyncIterator in value) && !(Symbol.iterator in value)) return value;
  const items: unknown[] = [];
  for await (const item of value as AsyncIterable<unknown>) items.push(item);
  return items;
}

/** What JavaScript would silently ignore. Whether a parameter may be left out is not known here: its type is gone. */
function refusedArguments(name: string, body: Body, args: unknown[], keywords: string): Failure | undefined {
  const list = /^(?:async\s*)?(?:function\s*\*?\s*[\w$]*\s*)?\(([^()[\]{}]*)\)|^(?:async\s+)?([\w$]+)\s*=>/.exec(
    Function.prototype.toString.call(body),
  );
  const parameters = list ? (list[1] ?? list[2] ?? "").split(",").filter((part) => part.trim()) : undefined;
  const signature = `${name}(${parameters?.map((part) => part.trim()).join(", ") ?? "…"})`;
  if (keywords && keywords !== "{}") {
    const names = Object.keys(JSON.parse(keywords)).join(", ");
    return {
      kind: "arguments",
      type: "TypeError",
      message: `${name}: TypeScript functions take arguments by position only, not by name (${names}); it is ${signature}`,
    };
  }
  if (
    parameters &&
    !signature.includes("...") &&
    args.length > parameters.length &&
    !Function.prototype.toString.call(body).includes("arguments")
  ) {
    return {
      kind: "arguments",
      type: "TypeError",
      message: `${name}: ${args.length} arguments for ${parameters.length} parameters; it is ${signature}`,
    };
  }
  return undefined;
}

installChannel({
  start(app, functionName, positional, origin) {
    const id = randomBytes(8).toString("hex");
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    children.set(id, resolve);
    const data = Buffer.from(positional);
    const sizes = { positional: data.byteLength, keywords: 0 };
    send("childCall", { id, parent: current, app, function: functionName, origin, ...sizes }, data);
    return { id, outcome: promise, cancel: () => send("childCancel", { id }) };
  },
});

// Node would print it and end the process, and the call would only be known to have exited.
process.on("uncaughtException", (error) => {
  const running = current !== "";
  if (running) finish({ failure: failureOf(error, "exception") }, 0);
  else console.error(error);
  socket.end(() => process.exit(1));
});

/** The same work as a load and a call of no consequence: compiled and cached by the time of a save. */
function practise(): void {
  const text = 'exports.default = (text) => { if (text) throw new Error("practice"); return [1, { a: "b" }]; };';
  const result = evaluate(text, projectRoot, "practice.js", "practice");
  if ("body" in result) encodeValue(result.body());
  failureOf(new Error("practice"), "exception");
  decode(encodeFrame("cancel", { call: "practice" }));
  refusedArguments("practice", practise, [], "");
}

installStackTraces();
delete process.env["NODE_COMPILE_CACHE"]; // the runner's own
for (const stream of [process.stdout, process.stderr]) {
  // Output must be in the pipe before the result is in the socket, and must survive process.exit().
  (stream as unknown as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(true);
}
practise();
socket.on("data", (piece) => {
  for (const frame of decode(piece)) receive(frame);
});
socket.on("close", () => process.exit(0)); // the snapshot is retired, or the runner gone
flushCompileCache(); // the next process then finds this one's modules compiled
send("ready", { protocol: protocolVersion, language: "typescript", interpreter: "" });
