// ⑥ The process of a snapshot: evaluates bundles and runs calls, one after the other. Started as a spare, it waits for its load.

import { AsyncLocalStorage } from "node:async_hooks";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { decodeValue, EncodingError, encodeValue } from "../values.ts";
import { type Answering, createAnswering } from "./answering.ts";
import { type Body, type Callable, callableOf, concurrencyOf, loadVersions, patchVersions, runExitHooks } from "./code.ts";
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
import { type InputOutcome, runInputs } from "./inputs.ts";
import { installLink, type Outcome } from "./link.ts";
import { native } from "./modules.ts";
import { createVoices, type Speaker } from "./voices.ts";
import { keyOf } from "./work.ts";

type Answered = Awaited<ReturnType<Answering["answer"]>>;

const folderWaitMs = 5_000;
const projectRoot = process.env["HOB_PROJECT_ROOT"] || "/project";
const socket = new Socket({ fd: 3 });
const decode = createFrameDecoder();
const running = new Map<string, Speaker>(); // calls and inputs of maps, by their keys
const within = new AsyncLocalStorage<Speaker>(); // what code belongs to
const faults = new Map<Speaker, (failure: Failure) => void>(); // inputs that wait for something
const voices = createVoices(within, (head, text) => send("output", head, text));

function send<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): void {
  socket.write(encodeFrame(name, head, ...payload));
}

function receive(frame: Frame): void {
  if (frame.name === "load")
    void load(frame.head, frame.payload); // never rejects: what is thrown is a failure
  else if (frame.name === "call")
    void within.run({ call: frame.head.call }, () => call(frame.head, frame.payload)); // nor does this
  else if (frame.name === "inputs") void inputs(frame.head, frame.payload);
  else if (frame.name === "cancel") cancel(frame.head);
  else if (frame.name === "taken") answering.taken(frame.head);
  else link.receive(frame);
}

/** Others run beside it: its answer is no longer waited for, and what it does goes on unheard. */
function cancel({ call: id, inputs: number }: Heads["cancel"]): void {
  const failure: Failure = { kind: "cancelled", message: "cancelled" };
  if (id !== undefined) finish(id, { failure }, 0);
  else if (number !== undefined && running.delete(keyOf({ inputs: number })))
    send("results", { inputs: number, first: 0, sizes: [], failures: [], runMs: 0, last: true, failure });
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
  running.set(head.call, within.getStore() ?? { call: head.call });
  if (concurrencyOf(head.version) > 1) voices.separate();
  let beganAtMs = performance.now();
  let ms = 0;
  let outcome: Outcome | Answered;
  try {
    const found = callableOf(head.version, head.function);
    if (!("body" in found)) outcome = { failure: found };
    else if (head.request) {
      outcome = await answering.answer(head.call, { head: head.request, body: payload }, found.body);
      ms = performance.now() - beganAtMs;
    } else {
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
    outcome = thrown(head.function, error);
  }
  finish(head.call, outcome, ms);
}

function thrown(name: string, error: unknown): { failure: Failure } {
  if (!(error instanceof EncodingError)) return { failure: failureOf(error, "exception") };
  return { failure: { kind: "encoding", type: "TypeError", message: `${name}: ${error.message}` } };
}

async function inputs(head: Heads["inputs"], payload: Buffer): Promise<void> {
  const key = keyOf(head);
  running.set(key, { call: head.map });
  voices.separate();
  const found = callableOf(head.version, head.function);
  if (!("body" in found)) {
    running.delete(key);
    send("results", { inputs: head.inputs, first: 0, sizes: [], failures: [], runMs: 0, last: true, failure: found });
    return;
  }
  await runInputs(head, payload, {
    run: (index, positional, keywords) => {
      const speaker = { call: head.map, index };
      running.set(key, speaker);
      return within.run(speaker, () => input(found, head.function, positional, keywords));
    },
    ended: () => !running.has(key),
    send: (results, pieces) => {
      if (results.last) running.delete(key);
      send("results", results, ...pieces);
    },
  });
}

function input(found: Callable, name: string, positional: Buffer, keywords: Buffer): InputOutcome | Promise<InputOutcome> {
  const speaker = within.getStore() as Speaker;
  const said = (outcome: InputOutcome): InputOutcome => {
    voices.end(speaker);
    return outcome;
  };
  try {
    const args = decodeValue(positional.toString()) as unknown[];
    const refusal = refusedArguments(name, found.declared, args, keywords.toString());
    if (refusal) return { failure: refusal };
    const value = found.body(...args);
    if (typeof value !== "object" || value === null || !("then" in value || "next" in value))
      return said({ json: encodeValue(value) });
    return new Promise((resolve) => {
      const end = (outcome: InputOutcome): void => {
        faults.delete(speaker);
        resolve(said(outcome));
      };
      faults.set(speaker, (failure) => end({ failure }));
      settle(value).then(
        (settled) => {
          try {
            end({ json: encodeValue(settled) });
          } catch (error) {
            end(thrown(name, error));
          }
        },
        (error) => end(thrown(name, error)),
      );
    });
  } catch (error) {
    return said(thrown(name, error));
  }
}

function finish(id: string, outcome: Outcome | Answered, ms: number): void {
  const speaker = running.get(id);
  if (!speaker || !running.delete(id)) return; // a cancel or an uncaught exception has already ended it
  const droppedBytes = voices.end(speaker);
  const head = { call: id, runMs: Math.round(ms * 1000) / 1000, ...(droppedBytes > 0 && { droppedBytes }) };
  const json = "json" in outcome ? Buffer.from(outcome.json) : "data" in outcome ? outcome.data : Buffer.alloc(0);
  const limit = maxFrameBytes - maxHeadBytes;
  const message = `the result is ${json.byteLength >> 20} MiB as JSON; return at most ${limit >> 20} MiB`;
  if ("failure" in outcome) send("result", { ...head, failure: outcome.failure });
  else if (json.byteLength > limit) send("result", { ...head, failure: { kind: "encoding", message } });
  else send("result", { ...head, ...("response" in outcome && { response: outcome.response }) }, json);
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

const link = installLink(within, send);
const answering = createAnswering(send);

// Node would print it and end the process, and the call would only be known to have exited.
// What it leaves is uncertain: the runner gives this process nothing more, and ends it when the calls that it has are done.
process.on("uncaughtException", (error) => {
  send("finish", {});
  const speaker = within.getStore() ?? running.values().next().value;
  const fault = speaker && faults.get(speaker);
  if (fault) fault(failureOf(error, "exception"));
  else if (speaker && running.has(speaker.call)) finish(speaker.call, { failure: failureOf(error, "exception") }, 0);
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
