// ①②③ The workbench without a screen: from a save to one message for control, and from control's answers to events.

import { resolve } from "node:path";
import { createChannel } from "../base/channel.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { AppState, CallInfo, SessionEvent } from "../proto/gen/hob/v1/calls.ts";
import type { Reloaded, StartCall } from "../proto/gen/hob/v1/registry.ts";
import { checkArguments } from "./arguments.ts";
import { createCallTracker, encodeArguments, isFinal, newCallId } from "./calls.ts";
import { type Changes, changesBetween, type DescribedFunction, functionKey } from "./describe/changes.ts";
import { createDescriber, type Description } from "./describe/describe.ts";
import type { Diagnostic, FunctionView, Receipt, Workbench, WorkbenchEvent } from "./events.ts";
import { createPublisher, type PublishOutcome } from "./publish.ts";
import { describedReceipt, failed, loaded, ran, shipped } from "./receipt.ts";
import { type LinkState, openSession } from "./session.ts";
import type { Snapshot } from "./snapshot.ts";
import { type ProjectChange, watchProject } from "./watch.ts";

export interface WorkbenchOptions {
  root: string;
  /** Gives control's address ("unix:PATH"), starting an embedded control where that is needed. */
  connect(): Promise<string>;
  build: string;
  client: string;
  log: Log;
}

interface Pin {
  positional: unknown[];
  keywords: Record<string, unknown>;
}

/** A publish under way: which receipt it belongs to, and what its functions were before. */
interface Sent {
  receipt: number;
  sentAtMs: number;
  before: Map<string, DescribedFunction | undefined>;
}

const eventsKept = 1 << 16; // a listener that stands still for longer loses what comes then
const receiptsKept = 256;
const heldBytes = 8 << 20; // contents of files that have changed and not been published yet

const noFunctions = [
  "the project has no functions yet; one looks like this:",
  "    import hob",
  '    app = hob.App("hello")',
  "    @app.function()",
  '    def greet(name="world"): return f"hello {name}"',
].join("\n");

/** Throws a HobError of kind `usage` when `root` is not a folder; a control that cannot be reached is an event, and tried again. */
export async function openWorkbench(options: WorkbenchOptions): Promise<Workbench> {
  const clock: Clock = systemClock;
  const { log } = options;
  const root = resolve(options.root);
  const events = createChannel<WorkbenchEvent>(eventsKept);
  const calls = createCallTracker();
  const pins = new Map<string, Pin>();
  const receipts = new Map<number, Receipt>();
  const sent = new Map<number, Sent>();
  const held = new Map<string, Buffer>(); // contents by digest
  const settledApps = new Set<string>(); // control has their present code: calls may go
  const refusedApps = new Set<string>(); // a version could not be loaded: control tries again with the next snapshot
  let published = new Map<string, DescribedFunction>();
  let latest = new Map<string, DescribedFunction>();
  let serving = new Map<string, string>(); // key → digest that serves
  let diagnostics: Diagnostic[] = [];
  let snapshot: Snapshot | undefined;
  let described = false;
  let paused = false;
  let reconciled = false;
  let behind: ProjectChange[] = []; // described, not published
  let receiptIds = 0;
  let shown = "";
  let watchedApps = "";
  let closed = false;

  const emit = (event: WorkbenchEvent): boolean => events.offer(event);
  const notice = (level: "info" | "warning" | "error", text: string): void =>
    void emit({ kind: "notice", level, text, timeMs: clock.now() });
  const keep = (receipt: Receipt): void => {
    receipts.set(receipt.id, receipt);
    if (receipts.size > receiptsKept) receipts.delete(receipts.keys().next().value!);
    emit({ kind: "receipt", receipt });
  };

  const watcher = watchProject(root, {
    changed: (change) => void take(change),
    gone: () =>
      notice("error", `the project's folder ${root} is gone; what it held keeps running, and hob goes on when it is back`),
    back: () => notice("info", `the project's folder ${root} is back`),
    notice: (text) => notice("warning", text),
  });
  const describer = createDescriber({ root, read });
  const session = openSession({ ...options, unfinished: () => calls.confirmed(), event: takeEvent, link: takeLink });
  const publisher = createPublisher({
    send: (value) => session.send({ $case: "publish", value }),
    content: () => session.content(),
    read,
    settled: takeOutcome,
  });

  function read(path: string): Buffer | undefined {
    return watcher.read(path)?.content;
  }

  async function take(change: ProjectChange, first = false): Promise<void> {
    let description: Description;
    try {
      description = await describer.describe(change);
    } catch (error) {
      log.error(error, "describing failed");
      notice("error", sentenceOf(error));
      return;
    }
    if (closed) return;
    snapshot = change.snapshot;
    described = true;
    latest = new Map([...description.functions].filter(([, { kind }]) => kind === "function"));
    for (const [key, { held: isHeld }] of latest)
      if (isHeld && published.has(key)) latest.set(key, { ...published.get(key)!, held: true });
    if (description.diagnostics.length > 0) keepHalfRead();
    hold(change);
    const changes = changesBetween(published, latest, pathsOf(change));
    if (!first) keep(describedReceipt(++receiptIds, change, changes, clock.now()));
    if (paused || !reconciled) behind.push(change);
    else publishChanges(changes, receiptIds);
    if (session.live) watchApps();
    showProject();
    if (JSON.stringify(description.diagnostics) !== JSON.stringify(diagnostics)) {
      diagnostics = description.diagnostics;
      emit({ kind: "diagnostics", diagnostics });
    }
    if (latest.size === 0 && diagnostics.length === 0 && (first || changes.removed.length > 0)) notice("info", noFunctions);
  }

  /** While something in the project is at fault, a function that is not there may be one that could not be read: it goes on serving. */
  function keepHalfRead(): void {
    for (const [key, was] of published) if (!latest.has(key)) latest.set(key, { ...was, held: true });
  }

  function hold(change: ProjectChange): void {
    let bytes = 0;
    for (const { entry, content } of change.changed) if (content) held.set(entry.digest, content);
    for (const data of held.values()) bytes += data.length;
    for (const [digest, data] of held) {
      if (bytes <= heldBytes) break;
      held.delete(digest);
      bytes -= data.length;
    }
  }

  /** One message an app: versions, what they need, and the calls of pinned functions among them. */
  function publishChanges({ changes, removed }: Changes, receipt: number, also: Iterable<string> = refusedApps): void {
    const apps = new Set([...changes.map(({ after }) => after.spec.app), ...removed.map(({ spec }) => spec.app), ...also]);
    const savedAtMs = receipts.get(receipt)?.savedAtMs ?? clock.now();
    for (const app of apps) {
      const mine = changes.filter(({ after }) => after.spec.app === app);
      const gone = removed.filter(({ spec }) => spec.app === app);
      const starts = mine.flatMap(({ after }) => pinnedCall(after) ?? []);
      const contents = new Map(held);
      for (const { after } of mine) if (after.bundle) contents.set(after.bundle.digest, Buffer.from(after.bundle.data));
      const before = new Map(
        [...mine.map(({ after }) => functionKey(after)), ...gone.map(functionKey)].map((key) => [key, published.get(key)]),
      );
      const sentAtMs = clock.now();
      const id = publisher.publish({
        app,
        snapshot: snapshot!,
        versions: mine.map(({ after }) => versionOf(after, snapshot!)),
        removed: gone.map(({ spec }) => spec.name),
        changes: mine.map(({ after, tier, reason }) => ({ function: after.spec.name, tier, reason })),
        calls: starts,
        contents,
      });
      sent.set(id, { receipt, sentAtMs, before });
      refusedApps.delete(app);
      for (const call of starts) calls.carried(call, { savedAtMs, receipt });
      for (const { after } of mine) {
        published.set(functionKey(after), after);
        serving.set(functionKey(after), after.digest);
      }
      for (const was of gone) {
        published.delete(functionKey(was));
        serving.delete(functionKey(was));
      }
    }
  }

  function pinnedCall({ spec, digest }: DescribedFunction): StartCall | undefined {
    const pin = pins.get(`${spec.app}/${spec.name}`);
    if (!pin) return undefined;
    try {
      checkArguments(spec, pin.positional, pin.keywords);
    } catch (error) {
      notice("warning", `the pinned call was not made: ${sentenceOf(error)}`);
      return undefined;
    }
    const given = encodeArguments(pin.positional, pin.keywords);
    return { id: newCallId(), app: spec.app, function: spec.name, version: digest, arguments: given, parent: "", origin: "save" };
  }

  function showProject(): void {
    const functions: FunctionView[] = [...latest].map(([key, { spec, digest }]) => ({
      spec,
      version: serving.get(key) ?? digest,
      pinned: pins.has(key),
    }));
    const apps = appsOf();
    const text = JSON.stringify([apps, functions]);
    if (text === shown) return;
    shown = text;
    emit({ kind: "project", root, apps, functions });
  }

  const appsOf = (): string[] => [...new Set([...latest.values()].map(({ spec }) => spec.app))].sort();

  function watchApps(): void {
    const apps = appsOf();
    if (apps.join("\n") === watchedApps) return;
    watchedApps = apps.join("\n");
    session.send({ $case: "watch", value: { apps, fleet: true } });
  }

  function takeLink(state: LinkState, sinceMs: number, detail: string): void {
    emit({ kind: "link", state, sinceMs, detail });
    reconciled = false;
    watchedApps = "?"; // sent again to each new session, even for no apps
    if (state === "live") {
      if (described) watchApps();
      return;
    }
    settledApps.clear();
    calls.lost();
    publisher.lost();
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
        publisher.published(event.value);
        return;
      case "reloaded":
        takeReloaded(event.value);
        return;
      case "watching":
        if (!reconciled) reconcile(event.value.apps);
        return;
      case "progress":
        emit({ kind: "progress", ...event.value });
        return;
      case "notice":
        emit({ kind: "notice", ...event.value, level: event.value.level as "info" | "warning" | "error" });
        return;
      case "opened":
        return; // the session's own matter
      default:
        event satisfies never;
    }
  }

  /** A new session: what control has against what the project says, and the difference is published. */
  function reconcile(states: AppState[]): void {
    reconciled = true;
    const before = published;
    published = new Map();
    serving = new Map();
    const present = new Set<string>();
    for (const { app, versions, recent } of states) {
      for (const call of recent) emit({ kind: "call", call });
      for (const version of versions) {
        if (version.snapshot === snapshot!.digest) present.add(app);
        const key = `${app}/${version.function}`;
        const now = latest.get(key);
        serving.set(key, version.digest);
        if (now && (now.digest === version.digest || now.held)) published.set(key, now);
        else {
          const was = before.get(key) ?? now;
          const gone = { kind: "function", spec: version.spec!, parts: {}, whole: {}, held: false } as const;
          published.set(key, { ...(was ?? gone), digest: version.digest });
        }
      }
    }
    if (diagnostics.length > 0) keepHalfRead();
    for (const app of present) publisher.acknowledge(app, snapshot!);
    const { receipt, files } = catchUp();
    const changes = changesBetween(published, latest, files);
    // Each app is published, be it with no version, so that the next save is a small difference to what control has.
    const bases = appsOf().filter((app) => !present.has(app));
    publishChanges(changes, receipt, bases);
    for (const app of present)
      if (![...sent.values()].some(({ before: keys }) => [...keys.keys()].some((key) => key.startsWith(`${app}/`)))) settle(app);
    showProject();
  }

  /** The receipt that stands for everything described and not published. */
  function catchUp(): { receipt: number; files: string[] } {
    const files = [...new Set(behind.flatMap(pathsOf))];
    const receipt = behind.length > 0 ? receiptIds : 0;
    behind = [];
    return { receipt, files };
  }

  function settle(app: string): void {
    settledApps.add(app);
    calls.release(sendCall);
  }

  function takeOutcome({ id, app, bytesShipped, failure, lost }: PublishOutcome): void {
    const entry = sent.get(id);
    if (!entry) return;
    const receipt = receipts.get(entry.receipt);
    if (!failure) {
      settle(app);
      if (receipt) keep(shipped(receipt, entry.sentAtMs, clock.now(), bytesShipped));
      if (entry.before.size === 0) sent.delete(id);
      return;
    }
    sent.delete(id);
    if (lost) return;
    for (const [key, was] of entry.before) {
      if (was) published.set(key, was);
      else published.delete(key);
      if (was) serving.set(key, was.digest);
    }
    if (receipt) keep(failed(receipt, failure, clock.now()));
    else notice("error", failure.message);
    showProject();
  }

  function takeReloaded(event: Reloaded): void {
    const entry = sent.get(event.publish);
    if (!entry) return;
    const receipt = receipts.get(entry.receipt);
    const { failure } = event;
    if (receipt) keep(failure ? failed(receipt, failure, clock.now()) : loaded(receipt, event.loadMs, clock.now()));
    else if (failure) notice("error", `${event.app}: ${event.functions.join(", ")} could not be loaded: ${failure.message}`);
    if (failure) {
      refusedApps.add(event.app);
      for (const name of event.functions) {
        const was = entry.before.get(`${event.app}/${name}`);
        if (was) serving.set(`${event.app}/${name}`, was.digest);
      }
      showProject();
    }
    for (const name of event.functions) entry.before.delete(`${event.app}/${name}`);
    if (entry.before.size === 0) sent.delete(event.publish);
  }

  function takeCall(call: CallInfo): void {
    const save = calls.update(call);
    const nowMs = clock.now();
    if (!save || !isFinal(call)) return void emit({ kind: "call", call });
    emit({ kind: "call", call, saveToResultMs: nowMs - save.savedAtMs });
    const receipt = receipts.get(save.receipt);
    if (receipt) keep(ran(receipt, call.steps, nowMs));
  }

  /** Calls go once control has the code that they are meant for. */
  const sendCall = (call: StartCall): boolean => settledApps.has(call.app) && session.send({ $case: "call", value: call });

  function functionNamed(app: string, name: string): DescribedFunction {
    const found = latest.get(`${app}/${name}`);
    if (found) return found;
    const known = [...latest.values()].map(({ spec }) => (spec.app === app ? spec.name : `${spec.app}/${spec.name}`));
    const remedy = known.length > 0 ? `there is ${known.slice(0, 8).join(", ")}` : "the project has no functions";
    throw new HobError("usage", `app ${app} has no function ${name}`, { remedy });
  }

  void take(watcher.initial, true);

  return {
    events,
    call(app, name, positional, keywords, origin) {
      const { spec } = functionNamed(app, name);
      checkArguments(spec, positional, keywords);
      const given = encodeArguments(positional, keywords);
      const call: StartCall = { id: newCallId(), app, function: name, version: "", arguments: given, parent: "", origin };
      calls.start(call, sendCall);
      return call.id;
    },
    cancel: (call) => void session.send({ $case: "cancel", value: { call } }),
    pin(app, name, positional, keywords) {
      checkArguments(functionNamed(app, name).spec, positional, keywords);
      pins.set(`${app}/${name}`, { positional, keywords });
      showProject();
    },
    unpin(app, name) {
      pins.delete(`${app}/${name}`);
      showProject();
    },
    pause(next) {
      if (paused === next) return;
      paused = next;
      emit({ kind: "paused", paused });
      if (paused || !reconciled || behind.length === 0) return;
      const { receipt, files } = catchUp();
      const changes = changesBetween(published, latest, files);
      const known = receipts.get(receipt);
      if (known)
        keep({ ...known, ...describedReceipt(receipt, { ...emptyChange(known, snapshot!) }, changes, clock.now()), files });
      publishChanges(changes, receipt);
      showProject();
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      await watcher[Symbol.asyncDispose]();
      await session[Symbol.asyncDispose]();
      await describer[Symbol.asyncDispose]();
      events.close();
    },
  };
}

const pathsOf = (change: ProjectChange): string[] => [...change.changed.map((file) => file.entry.path), ...change.removed];

const emptyChange = ({ savedAtMs, ms }: Receipt, snapshot: Snapshot): ProjectChange => ({
  snapshot,
  changed: [],
  removed: [],
  savedAtMs,
  noticedAtMs: savedAtMs + (ms.watch ?? 0),
});

function versionOf({ spec, digest, bundle }: DescribedFunction, snapshot: Snapshot) {
  return { function: spec.name, digest, snapshot: snapshot.digest, bundle: bundle?.digest ?? "", spec };
}
