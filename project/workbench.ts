// ①②③ The workbench without a screen: from a save to one message for control, and from control's answers to events.

import { resolve } from "node:path";
import { createChannel } from "../base/channel.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { openRest } from "../base/rest.ts";
import { openTracing } from "../base/tracing.ts";
import { isDeployment } from "../proto/app-name.ts";
import type { AppState, CallInfo, SessionEvent } from "../proto/gen/hob/v1/calls.ts";
import { Failure } from "../proto/gen/hob/v1/common.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import { checkArguments } from "./arguments.ts";
import { createCallTracker, encodeArguments, endedHere, isFinal, newCallId } from "./calls.ts";
import { changesBetween, type DescribedFunction } from "./describe/changes.ts";
import { createDescriber, type Description } from "./describe/describe.ts";
import type { Diagnostic, Receipt, Workbench, WorkbenchEvent } from "./events.ts";
import { checkSize, createLargeArguments, fetchValue } from "./large-values.ts";
import { noFunctions } from "./no-functions.ts";
import { createOnceSettled } from "./once-settled.ts";
import { createOperations } from "./operations.ts";
import { createPins } from "./pins.ts";
import { appsIn, functionNamed, functionsToServe, viewsOf } from "./present.ts";
import { describedReceipt, failed, loaded, ran, shipped } from "./receipt.ts";
import { createSaveTraces } from "./save-traces.ts";
import { type LinkState, openSession } from "./session.ts";
import { createShipping } from "./shipping.ts";
import type { Snapshot } from "./snapshot.ts";
import { type ProjectChange, pathsOf, watchProject } from "./watch.ts";

export interface WorkbenchOptions {
  root: string;
  /** Files that do not belong to it, by their paths in it. */
  leftOut?: readonly string[];
  /** Gives control's address ("unix:PATH"), starting an embedded control where that is needed. */
  connect(): Promise<string>;
  build: string;
  client: string;
  log: Log;
}

const eventsKept = 1 << 16; // a listener that stands still for longer loses what comes then
const receiptsKept = 256;

/** Throws a HobError of kind `usage` when `root` is not a folder; a control that cannot be reached is an event, and tried again. */
export async function openWorkbench(options: WorkbenchOptions): Promise<Workbench> {
  const clock: Clock = systemClock;
  const { log } = options;
  const root = resolve(options.root);
  const events = createChannel<WorkbenchEvent>(eventsKept);
  const calls = createCallTracker();
  const pins = createPins((text) => notice("warning", text));
  const receipts = new Map<number, Receipt>();
  let latest = new Map<string, DescribedFunction>();
  let diagnostics: Diagnostic[] = [];
  let snapshot: Snapshot | undefined; // once the project has been described
  let faultless: { functions: Map<string, DescribedFunction>; snapshot: Snapshot } | undefined; // the last one
  let paused = false;
  let reconciled = false; // what control has is known, in this session
  let publishedOnce = false;
  let gateway = ""; // where endpoints are found
  let lostAtMs = 0; // 0: the session with control is there, or never was
  let behind: ProjectChange[] = []; // described, not published
  let receiptIds = 0;
  let shown = "";
  let watchedApps = "";
  let closed = false;

  const rest = openRest();
  const tracing = await openTracing("hob-workbench", log);
  const saves = tracing && createSaveTraces(tracing);
  function emit(event: WorkbenchEvent): void {
    events.offer(event);
    rest.worked();
  }
  const notice = (level: "info" | "warning" | "error", text: string): void =>
    emit({ kind: "notice", level, text, timeMs: clock.now() });

  const watcher = watchProject(
    root,
    {
      stirred() {
        session.send({ $case: "rouse", value: { apps: appsOf() } }); // a longer way than the describer's
        describer.rouse();
      },
      changed: (change) => void take(change),
      gone: () =>
        notice("error", `the project's folder ${root} is gone; what it held keeps running, and hob goes on when it is back`),
      back: () => notice("info", `the project's folder ${root} is back`),
      notice: (text) => notice("warning", text),
    },
    options.leftOut,
  );
  const describer = createDescriber({ root, read: (path) => watcher.read(path)?.content });
  const session = openSession({ ...options, unfinished: () => calls.confirmed(), event: takeEvent, link: takeLink });
  const large = createLargeArguments({
    content: () => session.content(),
    arrived: () => calls.release(sendCall),
    failed(call, error) {
      if (calls.withdraw(call.id))
        endHere(call, "failed", Failure.fromPartial({ kind: "infrastructure", message: error.sentence }));
    },
  });
  const maps = createOnceSettled((app) => (shipping.isSettled(app) ? session.map() : undefined));
  const settled = createOnceSettled((app) => shipping.isSettled(app) || undefined);
  const operations = createOperations({ session, settled, latest: () => latest, serving: (key) => shipping.serving(key) });
  const shipping = createShipping({
    clock,
    send: (value) => session.send({ $case: "publish", value }),
    content: () => session.content(),
    read: (path) => watcher.pieces(path),
    pinnedCall,
    settled() {
      calls.release(sendCall);
      for (const each of [maps, settled]) each.release();
    },
    shipped: ({ receipt, sentAtMs, bytes }) => grow(receipt, (known) => shipped(known, sentAtMs, clock.now(), bytes)),
    loaded: ({ receipt, sentAtMs, reloaded }) => grow(receipt, (known) => loaded(known, sentAtMs, reloaded, clock.now())),
    refused({ receipt, app, functions, failure, recorded }) {
      if (closed) return; // left on its way: that is no fault of the project
      const refused = `${app}: ${functions.join(", ") || "its files"} could not be put in place: ${failure.message}`;
      if (!recorded) for (const each of [maps, settled]) each.refuse(app, refused);
      if (!recorded) for (const call of calls.giveUp(app, receipt)) endHere(call, "failed", failure);
      const known = grow(receipt, (last) => failed(last, failure, clock.now()));
      if (!known) notice("error", refused);
      showProject();
    },
  });

  /** Describes a change of the project and publishes what it made of the functions. */
  async function take(change: ProjectChange, first = false): Promise<void> {
    let description: Description;
    try {
      description = await describer.describe(change);
    } catch (error) {
      if (closed) return;
      log.error(error, "describing failed");
      notice("error", sentenceOf(error));
      return;
    }
    if (closed) return;
    snapshot = change.snapshot;
    const previous = latest;
    latest = functionsToServe(description, shipping.published, latest);
    if (description.diagnostics.length === 0) faultless = { functions: latest, snapshot };
    shipping.hold(change.changed.flatMap(({ entry, content }) => (content ? [[entry.digest, content] as const] : [])));
    // Before anything was published a save is told by what it changed, not by all that is then new to control.
    const changes = changesBetween(publishedOnce ? shipping.published : previous, latest, pathsOf(change));
    if (!first) keep(describedReceipt(++receiptIds, change, changes, clock.now()));
    if (paused || !reconciled) {
      if (!first) behind.push(change);
    } else shipping.ship(changes, receiptIds, snapshot);
    if (session.live) watchApps();
    showProject();
    showDiagnostics(description.diagnostics);
    if (latest.size === 0 && diagnostics.length === 0 && (first || changes.removed.length > 0)) notice("info", noFunctions);
  }

  function keep(receipt: Receipt): void {
    receipts.set(receipt.id, receipt);
    if (receipts.size > receiptsKept) receipts.delete(receipts.keys().next().value!);
    emit({ kind: "receipt", receipt });
    saves?.step(receipt);
  }

  /** Takes a step of a receipt; undefined when there is none, because no save caused it. */
  function grow(id: number, step: (known: Receipt) => Receipt): Receipt | undefined {
    const known = receipts.get(id);
    if (!known) return undefined;
    const next = step(known);
    keep(next);
    return next;
  }

  function pinnedCall(described: DescribedFunction, receipt: number): StartCall | undefined {
    // What is published at the start or after a loss was not changed by a save.
    if (!receipts.get(receipt)?.changes.some(({ function: changed }) => changed === described.spec.name)) return undefined;
    const call = pins.callOf(described);
    if (call) calls.carried(call, { receipt, savedAtMs: receipts.get(receipt)?.savedAtMs ?? clock.now() });
    return call && saves ? saves.carry(call, receipt) : call;
  }

  function showProject(): void {
    const functions = viewsOf(latest, { serving: shipping.serving, pinned: pins.has, gateway });
    const apps = appsOf();
    const empty = snapshot?.files.size === 0 ? { empty: true as const } : {};
    const text = JSON.stringify([apps, functions, empty]);
    if (text === shown || snapshot === undefined) return;
    shown = text;
    emit({ kind: "project", root, apps, functions, ...empty });
  }

  function showDiagnostics(next: Diagnostic[]): void {
    if (JSON.stringify(next) === JSON.stringify(diagnostics)) return;
    diagnostics = next;
    emit({ kind: "diagnostics", diagnostics });
  }

  const appsOf = (): string[] => appsIn(latest);

  function watchApps(): void {
    const apps = appsOf();
    if (apps.join("\n") === watchedApps) return;
    watchedApps = apps.join("\n");
    session.send({ $case: "watch", value: { apps, fleet: true } });
  }

  function takeLink(state: LinkState, sinceMs: number, detail: string, http = ""): void {
    if (state === "live") gateway = http;
    emit({ kind: "link", state, sinceMs, detail });
    if (state === "live" && lostAtMs > 0) {
      notice("warning", `control was gone for ${((clock.now() - lostAtMs) / 1000).toFixed(1)} s; calls that ran are run again`);
    }
    lostAtMs = state === "live" ? 0 : state === "lost" ? lostAtMs || sinceMs : lostAtMs;
    reconciled = false;
    watchedApps = "?"; // each new session is told, even of no apps
    if (state === "live") {
      if (snapshot) watchApps();
    } else if (state === "lost") {
      calls.lost();
      shipping.lost();
    }
  }

  function takeEvent(event: NonNullable<SessionEvent["event"]>): void {
    switch (event.$case) {
      case "call":
        if (event.value.call) takeCall(event.value.call);
        return;
      case "logs":
        emit({ kind: "logs", lines: event.value.lines });
        return;
      case "fleet":
        emit({ kind: "fleet", sample: event.value });
        return;
      case "published":
        shipping.takePublished(event.value);
        return;
      case "reloaded":
        shipping.takeReloaded(event.value);
        return;
      case "watching":
        if (!reconciled) reconcile(event.value.apps);
        return;
      case "progress":
        emit({ kind: "progress", ...event.value });
        break;
      case "image":
        emit({ kind: "image", build: event.value });
        return;
      case "notice":
        emit({ kind: "notice", ...event.value, level: event.value.level as "info" | "warning" | "error" });
        return;
      case "map":
        emit({ kind: "map", map: event.value });
        return;
      case "opened":
        return; // the session's own matter
      default:
        event satisfies never;
    }
  }

  /** A new session: what control has against what the project says. */
  function reconcile(states: AppState[]): void {
    reconciled = true;
    for (const call of states.flatMap((state) => state.recent)) emit({ kind: "call", call });
    for (const map of states.flatMap((state) => state.maps)) emit({ kind: "map", map });
    const present = shipping.reconcile(states, latest, snapshot!);
    if (diagnostics.length > 0) latest = functionsToServe({ functions: latest, diagnostics }, shipping.published, latest);
    // Every app is published, be it with no version, so that the next save is a small difference to what control has.
    if (!paused) catchUp(appsOf().filter((app) => !present.has(app)));
    showProject();
  }

  /** Publishes what has been described and not published; the newest receipt stands for all of it. */
  function catchUp(also: string[]): void {
    shipHeld();
    const files = [...new Set(behind.flatMap(pathsOf))];
    const changes = changesBetween(shipping.published, latest, files);
    const last = behind.at(-1);
    behind = [];
    if (last && publishedOnce && receipts.has(receiptIds))
      keep({ ...describedReceipt(receiptIds, last, changes, clock.now()), files });
    const receipt = receipts.get(receiptIds)?.nothing === undefined ? receiptIds : 0;
    shipping.ship(changes, last ? receipt : 0, snapshot!, also);
    publishedOnce = true;
  }

  /** Functions of a file that was broken before control ever had them: their last good version, from the snapshot that it came with. */
  function shipHeld(): void {
    if (!faultless) return;
    const unknown = (key: string): boolean => Boolean(latest.get(key)?.held) && !shipping.published.has(key);
    const functions = new Map([...faultless.functions].filter(([key]) => unknown(key)));
    if (functions.size === 0) return;
    const { changes } = changesBetween(new Map(), functions, []);
    shipping.ship({ changes, removed: [] }, 0, faultless.snapshot);
  }

  function takeCall(call: CallInfo): void {
    large.forget(call.id);
    const save = calls.update(call);
    const nowMs = clock.now();
    if (!save || !isFinal(call)) {
      emit({ kind: "call", call });
      return;
    }
    emit({ kind: "call", call, saveToResultMs: nowMs - save.savedAtMs });
    grow(save.receipt, (known) => ran(known, call.steps, nowMs));
  }

  /** Calls go once control has the code that they are meant for. */
  function sendCall(call: StartCall): boolean {
    const ready = shipping.isSettled(call.app) ? large.ready(call) : undefined;
    return ready !== undefined && session.send({ $case: "call", value: ready });
  }

  /** The end of a call that control never had. */
  function endHere(call: StartCall, state: "failed" | "cancelled", failure: Failure): void {
    emit({ kind: "call", call: endedHere(call, { state, failure, nowMs: clock.now() }) });
  }

  void take(watcher.initial, true);

  return {
    events,
    call(app, name, positional, keywords, origin) {
      if (!isDeployment(app)) checkArguments(functionNamed(latest, app, name).spec, positional, keywords);
      const given = encodeArguments(positional, keywords);
      checkSize(name, given);
      const call = { id: newCallId(), app, function: name, version: "", arguments: given, parent: "", origin };
      calls.start(call, sendCall);
      return call.id;
    },
    ...{ ...operations, value: (value) => fetchValue(session.content(), value), inspect: session.inspect },
    cancel(id) {
      large.forget(id);
      const unsent = calls.withdraw(id);
      if (unsent) {
        endHere(unsent, "cancelled", Failure.fromPartial({ kind: "cancelled", message: "cancelled before it was sent" }));
      } else session.send({ $case: "cancel", value: { call: id } });
    },
    dialMap: maps.of,
    settled: async (app) => void (await settled.of(app)),
    pin(app, name, positional, keywords) {
      pins.set(functionNamed(latest, app, name), positional, keywords);
      showProject();
    },
    unpin(app, name) {
      pins.delete(app, name);
      showProject();
    },
    pause(next) {
      if (paused === next) return;
      paused = next;
      emit({ kind: "paused", paused });
      if (paused || !reconciled) return;
      catchUp([]);
      showProject();
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      for (const each of [maps, settled]) each.close();
      rest[Symbol.dispose]();
      await watcher[Symbol.asyncDispose]();
      await session[Symbol.asyncDispose]();
      await describer[Symbol.asyncDispose]();
      await tracing?.[Symbol.asyncDispose]();
      events.close();
    },
  };
}
