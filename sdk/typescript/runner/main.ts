// ⑥ The TypeScript runner, pid 1 of its container: decides which process does what, carries frames between them and the agent. Runs no user code.

import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import { createBundles } from "./bundles.ts";
import { afterOutput, type Child, killChild, type PendingLoad, stopChild } from "./children.ts";
import {
  createFrameDecoder,
  cutPayload,
  encodeFrame,
  type Failure,
  type Frame,
  type FrameName,
  type Heads,
  type Patch,
  protocolVersion,
  type Version,
} from "./frames.ts";
import { createLoadings } from "./loadings.ts";
import { createRelay } from "./relay.ts";
import { createSpares } from "./spares.ts";
import { keyOf, nameOf, refusal, type Work } from "./work.ts";

/** How long one of several calls in a process has to answer its cancel before the process is ended. */
const cancelMs = 2_000;

const agent = new Socket({ fd: 3 });
const callers = new Map<string, Child>(); // by the calls that their functions made
const mappers = new Map<string, Child>(); // by the maps that their functions made
const bundles = createBundles();
const versions = new Map<string, Map<string, Version>>(); // snapshot → version digest → version
const secrets = new Map<string, Record<string, string>>(); // by snapshot
const retired = new Set<string>();
const loadings = createLoadings((head) => send("loaded", head));
let finishing = false;

const relay = createRelay(agent);
const spares = createSpares({ frame: fromChild, output: relay.output, ended });

function send<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): void {
  agent.write(encodeFrame(name, head, ...payload));
}

function refuse(work: Work, failure: Failure, droppedBytes = 0, guilty?: number): void {
  agent.write(refusal(work, failure, droppedBytes, guilty));
}

// What the agent asks

function fromAgent(frame: Frame): void {
  switch (frame.name) {
    case "load":
      if (!finishing) load(frame.head, frame.payload); // else our end is the answer
      break;
    case "call":
    case "inputs":
      if (!finishing) call(frame);
      break;
    case "cancel":
      cancel(frame.head);
      break;
    case "childResult":
      callers.get(frame.head.id)?.socket.write(frame.raw);
      callers.delete(frame.head.id);
      break;
    case "taken":
      for (const child of spares.all) if (child.running.has(frame.head.call)) child.socket.write(frame.raw);
      break;
    case "mapNews":
      mappers.get(frame.head.map)?.socket.write(frame.raw);
      if (frame.head.finished) mappers.delete(frame.head.map);
      break;
    case "rouse":
      for (const child of spares.all) if (child.serves.size > 0 && !child.ending) child.socket.write(frame.raw);
      break;
    case "inspect":
      send("inspected", { call: frame.head.call, reason: "only Python keeps the variables of what has failed" });
      break;
    case "finish":
      finish();
  }
}

function load(head: Heads["load"], payload: Buffer): void {
  const pieces = cutPayload(payload, ...head.blobs.map((blob) => blob.size));
  for (const [at, blob] of head.blobs.entries()) bundles.keep(blob.digest, Buffer.from(pieces[at] as Buffer));
  const known = versions.get(head.snapshot) ?? new Map<string, Version>();
  versions.set(head.snapshot, known);
  for (const version of head.versions) known.set(version.digest, version);
  secrets.set(head.snapshot, { ...secrets.get(head.snapshot), ...head.secrets });
  retired.delete(head.snapshot);

  const loading = loadings.open(head.load);
  const { snapshot } = head;
  let rest = head.versions;
  for (const patch of head.patches ?? []) {
    const mine = head.versions.filter((version) => patch.functions.includes(version.function));
    const found = patchable(patch);
    if (typeof found === "string") {
      loading.reason ||= found;
      continue;
    }
    rest = rest.filter((version) => !mine.includes(version));
    loading.parts++;
    loading.patched++;
    found.patched = true;
    for (const name of patch.functions) {
      const before = found.serves.get(patch.base);
      for (const digest of before ?? []) if (versions.get(patch.base)?.get(digest)?.function === name) before?.delete(digest);
    }
    give(found, { load: head.load, patch: true, head: { snapshot, versions: mine } }, [patch]);
  }
  if (rest.length > 0 || loading.parts === 0) {
    loading.parts++;
    give(open(snapshot) ?? spares.take(), { load: head.load, patch: false, head: { snapshot, versions: rest } });
  }
  for (const old of head.retire) retire(old);
}

/** The process that may take the patch, or why there is none. */
function patchable(patch: Patch): Child | string {
  const names = versions.get(patch.base);
  const has = (child: Child): boolean => {
    const serving = [...(child.serves.get(patch.base) ?? [])].map((digest) => names?.get(digest)?.function);
    return !child.ending && patch.functions.every((name) => serving.includes(name));
  };
  const child = [...spares.all].find(has);
  if (!child) return "no process has what it would follow";
  if (patch.bundle && !bundles.has(patch.bundle)) return "the patch is no longer here";
  if (child.loads.length + child.running.size + child.queue.length > 0) return "busy";
  // By name: what calls have left outlives the version that they were of, as when its timeout has changed meanwhile.
  const left = patch.functions.some((name) => child.ran.has(name));
  if (patch.keep !== "all" && left) return "calls have left state that the changed code computed";
  return child;
}

function give(child: Child, pending: PendingLoad, patches: Patch[] = []): void {
  const { snapshot } = pending.head;
  child.loads.push(pending);
  const serving = child.serves.get(snapshot) ?? new Set<string>();
  child.serves.set(snapshot, serving);
  for (const version of pending.head.versions) serving.add(version.digest);
  const wanted = patches.length > 0 ? patches : pending.head.versions;
  const digests = [...new Set(wanted.map(({ bundle }) => bundle))].filter((digest) => bundles.has(digest));
  const texts = digests.map((digest) => bundles.get(digest) as Buffer);
  const blobs = digests.map((digest, at) => ({ digest, size: texts[at]?.byteLength ?? 0 }));
  const head = { load: pending.load, ...pending.head, blobs, patches, secrets: secrets.get(snapshot) ?? {}, retire: [] };
  child.socket.write(encodeFrame("load", head, ...texts));
}

function call(frame: Work): void {
  const { snapshot, version } = frame.head;
  const serving = [...spares.all].find((child) => !child.ending && child.serves.get(snapshot)?.has(version));
  let child = serving ?? open(snapshot);
  const known = versions.get(snapshot);
  if (!serving && child && known?.has(version)) child = undefined; // patched away meanwhile, or never in it
  if (!child) {
    if (!known) {
      const message = `${frame.head.function}: snapshot ${snapshot.slice(0, 12)} has not been loaded here`;
      refuse(frame, { kind: "load", message });
      return;
    }
    child = spares.take(); // its former process has ended, or goes on with other code
    give(child, { load: 0, patch: false, head: { snapshot, versions: [...known.values()] } });
  }
  child.queue.push(frame);
  giveCalls(child);
}

/** The process that has this snapshot's code and no other's. */
function open(snapshot: string): Child | undefined {
  return [...spares.all].find((child) => !child.ending && !child.patched && child.serves.has(snapshot));
}

const concurrencyOf = ({ head }: Work): number => versions.get(head.snapshot)?.get(head.version)?.concurrency || 1;

function giveCalls(child: Child): void {
  while (child.loads.length === 0 && !child.ending) {
    const frame = child.queue[0];
    if (!frame || child.running.size >= Math.min(...[frame, ...child.running.values()].map(concurrencyOf))) break;
    child.queue.shift();
    if (child.running.size === 0) relay.flush(child);
    const { snapshot, version } = frame.head;
    child.running.set(keyOf(frame.head), frame);
    const called = versions.get(snapshot)?.get(version);
    if (called?.keepsState) child.ran.add(called.function);
    child.socket.write(frame.raw);
    send("started", { ...nameOf(frame), timeMs: Date.now() });
  }
  release(child);
}

/** A process lets go of retired snapshots that it has no call of, and ends with the last. */
function release(child: Child): void {
  if (child.ending) return;
  const pending = [...child.running.values(), ...child.queue].map(({ head }) => head.snapshot);
  for (const { head } of child.loads) pending.push(head.snapshot);
  const gone = [...child.serves.keys()].filter((snapshot) => retired.has(snapshot) && !pending.includes(snapshot));
  if (gone.length === 0) return;
  for (const snapshot of gone) child.serves.delete(snapshot);
  if (child.serves.size === 0) stopChild(child, "in order");
  for (const snapshot of gone) forget(snapshot);
}

/** By call, by inputs, or by load: then the process that is still importing ends. */
function cancel(head: Heads["cancel"]): void {
  for (const child of spares.all) {
    const id = keyOf(head);
    const loads = id === "" && child.loads.some((pending) => pending.load === head.load);
    if (loads || (child.running.has(id) && child.running.size === 1)) {
      stopChild(child, "SIGTERM");
      return;
    }
    if (child.running.has(id)) {
      // The others in it go on, unless it does not even take the message.
      child.socket.write(encodeFrame("cancel", head));
      setTimeout(() => child.running.has(id) && stopChild(child, "SIGTERM"), cancelMs).unref();
      return;
    }
    const waiting = child.queue.find((frame) => keyOf(frame.head) === id);
    if (waiting) {
      child.queue.splice(child.queue.indexOf(waiting), 1);
      refuse(waiting, { kind: "cancelled", message: "cancelled before it began" });
      return;
    }
  }
}

function retire(snapshot: string): void {
  retired.add(snapshot);
  const serving = [...spares.all].filter((child) => child.serves.has(snapshot));
  for (const child of serving) release(child);
  if (serving.length === 0) forget(snapshot);
}

/** A retired snapshot's list of versions goes with its last process. */
function forget(snapshot: string): void {
  if (!retired.has(snapshot) || [...spares.all].some((child) => child.serves.has(snapshot))) return;
  retired.delete(snapshot);
  secrets.delete(snapshot);
  if (versions.delete(snapshot)) send("unloaded", { snapshot });
}

/** Each process runs its exit hooks; the runner ends with the last. */
function finish(): void {
  finishing = true;
  spares.close();
  for (const child of spares.all) {
    if (child.serves.size > 0) stopChild(child, "in order");
    else killChild(child);
  }
  if (spares.all.size === 0) leave();
}

function leave(): void {
  agent.end(() => process.exit(0));
}

// What processes say

function fromChild(child: Child, frame: Frame): void {
  switch (frame.name) {
    case "result":
    case "results":
      if (child.running.has(keyOf(frame.head))) afterOutput(() => passResult(child, frame));
      return;
    case "loaded":
      afterOutput(() => passLoaded(child, frame));
      return;
    case "childCall":
      callers.set(frame.head.id, child);
      agent.write(frame.raw);
      return;
    case "map":
      mappers.set(frame.head.map, child);
      agent.write(frame.raw);
      return;
    case "mapInputs":
    case "mapTake":
    case "mapCancel":
    case "part":
    case "childCancel":
    case "childWait":
      agent.write(frame.raw);
      return;
    case "output": // of one of several calls, or of an input
      relay.pass(child, frame);
      return;
    case "finish":
      child.ending = true; // it has caught what nobody did
      if (child.running.size === 0) stopChild(child, "in order");
      return;
    case "ready":
      spares.fill();
  }
}

function passResult(child: Child, frame: Frame & { name: "result" | "results" }): void {
  relay.flush(child);
  const key = keyOf(frame.head);
  const dropped = child.dropped.get(key) ?? 0;
  const droppedBytes = dropped + (frame.head.droppedBytes ?? 0);
  child.dropped.delete(key);
  if (dropped > 0) agent.write(encodeFrame(frame.name, { ...frame.head, droppedBytes } as never, frame.payload));
  else agent.write(frame.raw);
  if (frame.name === "results" && !frame.head.last) return;
  child.running.delete(key);
  if (child.ending && child.running.size === 0) stopChild(child, "in order");
  else giveCalls(child);
}

function passLoaded(child: Child, frame: Frame & { name: "loaded" }): void {
  relay.flush(child);
  child.loads = child.loads.filter(({ load: id }) => id !== frame.head.load);
  loadings.partDone(frame.head.load, frame.head.failure);
  giveCalls(child);
}

function ended(child: Child, kind: "exit" | "signal", how: string): void {
  relay.flush(child);
  spares.forget(child);
  for (const [id, caller] of callers) if (caller === child) callers.delete(id);
  for (const [id, caller] of mappers) if (caller === child) mappers.delete(id);
  for (const [key, work] of child.running) {
    const what = work.name === "call" ? "call" : "input";
    const guilty = work.name === "call" ? undefined : child.progress.positionOf(work.head.inputs);
    refuse(work, { kind, message: `the process that ran the ${what} ${how}` }, child.dropped.get(key), guilty);
  }
  child.progress[Symbol.dispose]();
  const failure: Failure = { kind: "load", message: `the process that imported the project ${how}` };
  const [patches, imports] = [child.loads.filter(({ patch }) => patch), child.loads.filter(({ patch }) => !patch)];
  for (const { load: id } of finishing ? child.loads : imports) loadings.partDone(id, failure);
  if (finishing) {
    if (spares.all.size === 0) leave();
    return;
  }
  for (const pending of patches) {
    const loading = loadings.get(pending.load);
    if (loading) loading.reason = `the process that was to be patched ${how}`;
    give(spares.take(), { ...pending, patch: false });
  }
  for (const snapshot of child.serves.keys()) forget(snapshot);
  if (imports.length > 0) {
    for (const frame of child.queue) refuse(frame, failure); // another process would die of the same import
    return;
  }
  if (child.running.size === 0 && child.serves.size > 0 && !child.expected) {
    const [snapshot = ""] = child.serves.keys();
    const text = `hob: the process of snapshot ${snapshot.slice(0, 12)} ${how} while it was idle; the next call starts it again`;
    send("output", { call: "", stream: "stderr", timeMs: Date.now(), dropped: 0 }, Buffer.from(text));
  }
  for (const frame of child.queue) call(frame);
}

/** The agent is gone: nothing here has a purpose any more. */
function end(): never {
  for (const child of spares.all) killChild(child);
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
spares.fill();
