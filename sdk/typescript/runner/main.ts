// ⑥ The TypeScript runner, pid 1 of its container: keeps spare processes, carries frames between them and the agent. Runs no user code.

import { writeFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { afterOutput, type Child, killChild, startChild, stopChild } from "./children.ts";
import {
  createFrameDecoder,
  cutPayload,
  encodeFrame,
  type Failure,
  type Frame,
  type FrameName,
  type Heads,
  protocolVersion,
  type Version,
} from "./frames.ts";
import type { Lines } from "./output.ts";

/** Bursts of saves come faster than one spare is ready again (some 50 ms of CPU each). */
const spares = 2;
/** A spare is started when the save that took one has had its result. */
const refillAfterMs = 100;
/** Bundles kept, for processes that have to be started again; the oldest go first. */
const keptBundleBytes = 64 << 20;
/** Output that the agent has not taken yet; beyond it lines are dropped and counted. */
const queuedOutputBytes = 4 << 20;

const agent = new Socket({ fd: 3 });
const waiting: Child[] = [];
const bySnapshot = new Map<string, Child>();
const all = new Set<Child>();
const callers = new Map<string, Child>(); // by the calls that their functions made
const bundles = new Map<string, Buffer>(); // oldest first
const versions = new Map<string, Map<string, Version>>(); // snapshot → version digest → version
const retired = new Set<string>();
let bundleBytes = 0;
let refill: NodeJS.Timeout | undefined;

function send<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): void {
  agent.write(encodeFrame(name, head, ...payload));
}

function answer(call: string, failure: Failure, droppedBytes = 0): void {
  send("result", { call, runMs: 0, droppedBytes, failure });
}

// What the agent asks

function fromAgent(frame: Frame): void {
  switch (frame.name) {
    case "load":
      load(frame.head, frame.payload);
      break;
    case "call":
      call(frame);
      break;
    case "cancel":
      cancel(frame.head);
      break;
    case "childResult":
      callers.get(frame.head.id)?.socket.write(frame.raw);
      callers.delete(frame.head.id);
  }
}

function load(head: Heads["load"], payload: Buffer): void {
  const pieces = cutPayload(payload, ...head.blobs.map((blob) => blob.size));
  for (const [at, blob] of head.blobs.entries()) keepBundle(blob.digest, Buffer.from(pieces[at] as Buffer));
  const known = versions.get(head.snapshot) ?? new Map<string, Version>();
  versions.set(head.snapshot, known);
  for (const version of head.versions) known.set(version.digest, version);
  retired.delete(head.snapshot);
  giveLoad(serving(head.snapshot) ?? takeSpare(), head.snapshot, head.load, head.versions);
  for (const snapshot of head.retire) retire(snapshot);
}

function keepBundle(digest: string, data: Buffer): void {
  bundleBytes += data.byteLength - (bundles.get(digest)?.byteLength ?? 0);
  bundles.delete(digest);
  bundles.set(digest, data);
  for (const [oldest, { byteLength }] of bundles) {
    if (bundleBytes <= keptBundleBytes || oldest === digest) return;
    bundles.delete(oldest);
    bundleBytes -= byteLength;
  }
}

function giveLoad(child: Child, snapshot: string, id: number, wanted: Version[]): void {
  child.snapshot = snapshot;
  child.loads.push(id);
  bySnapshot.set(snapshot, child);
  const digests = [...new Set(wanted.map((version) => version.bundle))].filter((digest) => bundles.has(digest));
  const texts = digests.map((digest) => bundles.get(digest) as Buffer);
  const blobs = digests.map((digest, at) => ({ digest, size: texts[at]?.byteLength ?? 0 }));
  child.socket.write(encodeFrame("load", { load: id, snapshot, blobs, versions: wanted, retire: [] }, ...texts));
}

function call(frame: Frame & { name: "call" }): void {
  const { snapshot } = frame.head;
  let child = serving(snapshot);
  if (!child) {
    const known = versions.get(snapshot);
    if (!known) {
      const message = `${frame.head.function}: snapshot ${snapshot.slice(0, 12)} has not been loaded here`;
      answer(frame.head.call, { kind: "load", message });
      return;
    }
    child = takeSpare(); // its former process has ended
    giveLoad(child, snapshot, 0, [...known.values()]);
    child.retired = retired.has(snapshot);
  }
  child.queue.push(frame);
  giveCall(child);
}

function serving(snapshot: string): Child | undefined {
  const child = bySnapshot.get(snapshot);
  return child?.ending ? undefined : child;
}

function giveCall(child: Child): void {
  if (child.loads.length > 0 || child.running || child.ending) return;
  const frame = child.queue.shift();
  if (!frame) {
    if (child.retired) dismiss(child);
    return;
  }
  flushOutput(child);
  child.running = frame.head.call;
  child.dropped = 0;
  child.socket.write(frame.raw);
  send("started", { call: child.running, timeMs: Date.now() });
}

/** By call, or by load: then the process that is still importing ends. */
function cancel(head: Heads["cancel"]): void {
  for (const child of bySnapshot.values()) {
    const isIts = head.call === undefined ? child.loads.includes(head.load ?? 0) : child.running === head.call;
    if (isIts) {
      stopChild(child, "SIGTERM");
      return;
    }
    const at = child.queue.findIndex((frame) => frame.head.call === head.call);
    if (at >= 0) {
      child.queue.splice(at, 1);
      answer(head.call ?? "", { kind: "cancelled", message: "cancelled before it began" });
      return;
    }
  }
}

function retire(snapshot: string): void {
  retired.add(snapshot);
  const child = bySnapshot.get(snapshot);
  if (child) {
    child.retired = true;
    giveCall(child);
  } else forget(snapshot);
}

/** A retired snapshot's list of versions goes with its process. */
function forget(snapshot: string): void {
  if (!retired.delete(snapshot)) return;
  versions.delete(snapshot);
}

// What processes say

function fromChild(child: Child, frame: Frame): void {
  switch (frame.name) {
    case "result":
      if (frame.head.call === child.running) afterOutput(() => passResult(child, frame));
      return;
    case "loaded":
      afterOutput(() => passLoaded(child, frame));
      return;
    case "childCall":
      callers.set(frame.head.id, child);
      agent.write(frame.raw);
      return;
    case "childCancel":
      agent.write(frame.raw);
      return;
    case "ready":
      fill();
  }
}

function passResult(child: Child, frame: Frame & { name: "result" }): void {
  flushOutput(child);
  if (child.dropped > 0) send("result", { ...frame.head, droppedBytes: child.dropped }, frame.payload);
  else agent.write(frame.raw);
  child.running = "";
  if (child.ending) stopChild(child, "in order");
  else giveCall(child);
}

function passLoaded(child: Child, frame: Frame & { name: "loaded" }): void {
  flushOutput(child);
  child.loads = child.loads.filter((id) => id !== frame.head.load);
  if (frame.head.load) agent.write(frame.raw);
  giveCall(child);
}

function output(child: Child, stream: "stdout" | "stderr", groups: Lines[]): void {
  for (const { dropped, text } of groups) {
    if (agent.writableLength > queuedOutputBytes) {
      child.cutters[stream].drop(dropped + text.byteLength + 1);
      continue;
    }
    child.dropped += dropped;
    send("output", { call: child.running, stream, timeMs: Date.now(), dropped }, text);
  }
}

function flushOutput(child: Child): void {
  for (const stream of ["stdout", "stderr"] as const) {
    output(child, stream, child.cutters[stream].flush());
    child.dropped += child.cutters[stream].takeDropped();
  }
}

function ended(child: Child, kind: "exit" | "signal", how: string): void {
  all.delete(child);
  flushOutput(child);
  const spare = waiting.indexOf(child);
  if (spare >= 0) waiting.splice(spare, 1);
  if (bySnapshot.get(child.snapshot) === child) {
    bySnapshot.delete(child.snapshot);
    if (child.retired && child.queue.length === 0) forget(child.snapshot);
  }
  for (const [call, caller] of callers) if (caller === child) callers.delete(call);
  const failure: Failure = { kind: "load", message: `the process that imported the project ${how}` };
  for (const id of child.loads) if (id) send("loaded", { load: id, failure });
  if (child.running) {
    answer(child.running, { kind, message: `the process that ran the call ${how}` }, child.dropped);
  } else if (child.loads.length > 0) {
    for (const frame of child.queue) answer(frame.head.call, failure); // another process would die of the same import
    return;
  } else if (child.snapshot && !child.expected) {
    const text = `hob: the process of snapshot ${child.snapshot.slice(0, 12)} ${how} while it was idle; the next call starts it again`;
    send("output", { call: "", stream: "stderr", timeMs: Date.now(), dropped: 0 }, Buffer.from(text));
  }
  for (const frame of child.queue) call(frame);
}

// Spares

function takeSpare(): Child {
  const child = waiting.shift() ?? start();
  clearTimeout(refill);
  refill = setTimeout(fill, refillAfterMs);
  return child;
}

/** One after the other: each finds compiled what the former has loaded, and they leave a core for the work of the moment. */
function fill(): void {
  if (waiting.length < spares) waiting.push(start());
}

function dismiss(child: Child): void {
  if (bySnapshot.get(child.snapshot) === child) {
    bySnapshot.delete(child.snapshot);
    forget(child.snapshot);
  }
  stopChild(child, "in order");
}

function start(): Child {
  const child = startChild({ frame: fromChild, output, ended });
  all.add(child);
  // When the container is over its memory, the kernel shall end this process, not the runner.
  try {
    writeFileSync(`/proc/${child.process.pid}/oom_score_adj`, "500");
  } catch {
    // No /proc here, or it has ended already: then the container ends as a whole.
  }
  return child;
}

/** The agent is gone: nothing here has a purpose any more. */
function end(): never {
  for (const child of all) killChild(child);
  process.exit(0);
}

const decode = createFrameDecoder();
agent.on("data", (piece) => {
  for (const frame of decode(piece)) fromAgent(frame);
});
agent.on("error", end);
agent.on("close", end);
send("ready", { protocol: protocolVersion, language: "typescript", interpreter: `Node ${process.versions.node}` });
flushCompileCache(); // the spares then find what they share with us compiled
fill();
