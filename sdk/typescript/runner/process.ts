// ⑥ The process of a snapshot: evaluates bundles and runs calls, one after the other. Started as a spare, it waits for its load.

import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { installChannel } from "../channel.ts";
import { decodeValue, EncodingError, encodeValue } from "../values.ts";
import { type Body, callableOf, concurrencyOf, loadVersions, patchVersions, runExitHooks } from "./code.ts";
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
import { native } from "./modules.ts";
import { createVoices } from "./voices.ts";

type Outcome = { failure: Failure } | { json: string };

const folderWaitMs = 5_000;
const projectRoot = process.env["HOB_PROJECT_ROOT"] || "/project";
const socket = new Socket({ fd: 3 });
const decode = createFrameDecoder();
const children = new Map<string, (outcome: Outcome) => void>(); // calls that functions made
const running = new Set<string>();
const within = new AsyncLocalStorage<string>(); // the call that code belongs to
const voices = createVoices(within, (head, text) => send("output", head, text));

function send<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): void {
  socket.write(encodeFrame(name, head, ...payload));
}

function receive(frame: Frame): void {
  if (frame.name === "load")
    void load(frame.head, frame.payload); // never rejects: what is thrown is a failure
  else if (frame.name === "call")
    void within.run(frame.head.call, () => call(frame.head, frame.payload)); // nor does this
  else if (frame.name === "childResult") {
    const { id, failure } = frame.head;
    children.get(id)?.(failure ? { failure } : { json: frame.payload.toString() });
    children.delete(id);
  } else if (frame.name === "cancel" && frame.head.call) {
    // Other calls run beside it: its answer is no longer waited for, and what it does goes on unheard.
    finish(frame.head.call, { failure: { kind: "cancelled", message: "cancelled" } }, 0);
  }
}

async function load(head: Heads["load"], payload: Buffer): Promise<void> {
  const folder = join(projectRoot, head.snapshot);
  const texts = new Map<string, string>();
  const pieces = cutPayload(payload, ...head.blobs.map((blob) => blob.size));
  for (const [at, blob] of head.blobs.entries()) texts.set(blob.digest, pieces[at]?.toString() ?? "");
  Object.assign(process.env, head.secrets);
  let failure = enter(folder);
  const patch = head.patches?.[0];
  if (!failure && patch) patchVersions(head.versions, patch.bundle ? (texts.get(patch.bundle) ?? "") : undefined, folder);
  else failure ??= await loadVersions(head.versions, texts, folder);
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

async function call(head: Heads["call"], payload: Buffer): Promise<void> {
  running.add(head.call);
  if (concurrencyOf(head.version) > 1) voices.separate();
  let beganAtMs = performance.now();
  let ms = 0;
  let outcome: Outcome;
  try {
    const found = callableOf(head.version, head.function);
    if (!("body" in found)) outcome = { failure: found };
    else {
      const [positional = Buffer.alloc(0), keywords = Buffer.alloc(0)] = cutPayload(payload, head.positional, head.keywords);
      const args = decodeValue(positional.toString()) as unknown[];
      const refusal = refusedArguments(head.function, found.declared, args, keywords.toString());
      beganAtMs = performance.now();
      const value = refusal ? undefined : await settle(found.body(...args));
      ms = performance.now() - beganAtMs;
      outcome = refusal ? { failure: refusal } : { json: encodeValue(value) };
    }
  } catch (error) {
    ms ||= performance.now() - beganAtMs;
    const message = `${head.function}: ${error instanceof Error ? error.message : ""}`;
    const encoding: Failure = { kind: "encoding", type: "TypeError", message };
    outcome = { failure: error instanceof EncodingError ? encoding : failureOf(error, "exception") };
  }
  finish(head.call, outcome, ms);
}

function finish(id: string, outcome: Outcome, ms: number): void {
  if (!running.delete(id)) return; // a cancel or an uncaught exception has already ended it
  const droppedBytes = voices.end(id);
  const head = { call: id, runMs: Math.round(ms * 1000) / 1000, ...(droppedBytes > 0 && { droppedBytes }) };
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
  const list = /^(?:async\s*)?(?:function\s*\*?\s*[\w$]*\s*|\*?\s*[\w$]+\s*)?\(([^()[\]{}]*)\)|^(?:async\s+)?([\w$]+)\s*=>/.exec(
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
    send("childCall", { id, parent: within.getStore() ?? "", app, function: functionName, origin, ...sizes }, data);
    return { id, outcome: promise, cancel: () => send("childCancel", { id }) };
  },
});

// Node would print it and end the process, and the call would only be known to have exited.
// What it leaves is uncertain: the runner gives this process nothing more, and ends it when the calls that it has are done.
process.on("uncaughtException", (error) => {
  send("finish", {});
  const guilty = within.getStore() ?? [...running][0] ?? "";
  if (running.has(guilty)) finish(guilty, { failure: failureOf(error, "exception") }, 0);
  else console.error(error);
});

/** The same work as a load and a call of no consequence: compiled and cached by the time of a save. */
async function practise(): Promise<void> {
  const text = 'exports.default = (text) => { if (text) throw new Error("practice"); return [1, { a: "b" }]; };';
  const run = evaluateBundle(text, projectRoot, "practice.js", "practice")["default"] as Body;
  encodeValue(run());
  failureOf(new Error("practice"), "exception");
  decode(encodeFrame("cancel", { load: 0 }));
  refusedArguments("practice", practise, [], "");
  await native("hob");
}

installStackTraces();
delete process.env["NODE_COMPILE_CACHE"]; // the runner's own
for (const stream of [process.stdout, process.stderr]) {
  // Output must be in the pipe before the result is in the socket, and must survive process.exit().
  (stream as unknown as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(true);
}
await practise();
socket.on("data", (piece) => {
  for (const frame of decode(piece)) receive(frame);
});
// The snapshot is retired, or the runner gone.
socket.on("close", () => void runExitHooks().then(() => process.exit(0)));
flushCompileCache(); // the next process then finds this one's modules compiled
send("ready", { protocol: protocolVersion, language: "typescript", interpreter: "" });
