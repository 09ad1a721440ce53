// ⑧ (state, event) → (state, effects): one row for each kind of event, pure throughout.

import type { Operations, Receipt, WorkbenchEvent } from "../../project/events.ts";
import type { FrameLocals } from "../../proto/gen/hob/v1/calls.ts";
import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import type { Config } from "../config.ts";
import { callNotices, mapNotices } from "./attention.ts";
import { recordBuild } from "./builds.ts";
import { type CallChange, functionKey, recordCalls } from "./calls.ts";
import { type CallInput, inputText, remember } from "./editor.ts";
import { type Step, step } from "./effects.ts";
import { advanceTour } from "./first.ts";
import { recordSample } from "./fleet.ts";
import { recordLogs } from "./logs.ts";
import { operationsDue, schedulesDue, withOperations } from "./operations.ts";
import type { ReplayState } from "./replay.ts";
import type { Progress, State, Surface, Viewport } from "./state.ts";
import { paste, pressKey } from "./typing.ts";
import { withVariables } from "./variables.ts";

/** What a person does, and what comes of it: with the workbench's events all that enters the model from outside. */
export type PersonEvent =
  | { kind: "key"; key: string; nowMs: number }
  | { kind: "paste"; text: string }
  | { kind: "resize"; columns: number; rows: number }
  | { kind: "accepted"; app: string; function: string; input: CallInput }
  | { kind: "refused"; sentence: string; nowMs: number }
  | { kind: "copied"; what: string; nowMs: number }
  /** What a failed call's frames hold, or why that cannot be had. */
  | { kind: "inspected"; call: string; frames: readonly FrameLocals[]; reason: string }
  /** What is deployed and what the clock calls, or why that cannot be had. */
  | { kind: "operations"; told: Operations | { problem: string }; nowMs: number }
  /** What came of something else that was asked for. */
  | { kind: "said"; text: string; nowMs: number }
  /** The person's settings, at the start and when their file has changed. */
  | { kind: "config"; config: Config }
  /** What functions were called with in earlier sessions, latest first. */
  | { kind: "inputs"; inputs: Readonly<Record<string, readonly string[]>> };

/** What the screen itself adds. `calls` stands for a burst of call events. */
type ScreenEvent =
  | { kind: "tick"; nowMs: number }
  | { kind: "drawn"; viewports: Partial<Record<Surface, Viewport>> }
  | { kind: "replay"; replay: ReplayState }
  | { kind: "focus"; focused: boolean }
  /** The tour begins: it has never been dismissed. */
  | { kind: "tour" }
  | { kind: "calls"; changes: CallChange[] };

export type ModelEvent = WorkbenchEvent | PersonEvent | ScreenEvent;

type Handlers = { [K in ModelEvent["kind"]]: (state: State, event: Extract<ModelEvent, { kind: K }>) => Step };

const keptReceipts = 50;
const keptMaps = 20;
const noticeMs = 8_000;

const handlers: Handlers = {
  link: (state, { kind: _, ...link }) => step({ ...state, link }),
  project: (state, { kind: _, ...project }) => step({ ...state, project }),
  diagnostics: (state, { diagnostics }) => step({ ...state, diagnostics }),
  receipt: (state, { receipt }) => step({ ...state, receipts: withReceipt(state.receipts, receipt) }),
  call: (state, { kind: _, ...change }) => step(withCalls(state, [change]), ...callNotices(state, [change])),
  calls: (state, { changes }) => step(withCalls(state, changes), ...callNotices(state, changes)),
  map: (state, { map }) => step({ ...state, maps: withMap(state.maps, map) }, ...mapNotices(state, map)),
  logs: (state, { lines }) => step({ ...state, logs: recordLogs(state.logs, lines) }),
  fleet: (state, { sample }) => schedulesDue({ ...state, fleet: recordSample(state.fleet, sample) }, sample.timeMs),
  progress: (state, { kind: _, ...progress }) => step({ ...state, progress: withProgress(state.progress, progress) }),
  image: (state, { build }) => step({ ...state, builds: recordBuild(state.builds, build) }),
  notice: (state, { kind: _, ...notice }) => step({ ...state, notice: { ...notice, shownAtMs: 0 } }),
  paused: (state, { paused }) => step({ ...state, paused }),
  key: (state, { key, nowMs }) => pressKey(state, key, nowMs),
  paste: (state, { text }) => paste(state, text),
  resize: (state, { columns, rows }) => step({ ...state, columns, rows }),
  tick: (state, { nowMs }) => operationsDue(withoutOldNotice(state, nowMs), nowMs),
  tour: (state) => step({ ...state, tour: 1 }),
  focus: (state, { focused }) => step({ ...state, focused }),
  replay: (state, { replay }) => step({ ...state, replay }),
  drawn: (state, { viewports }) => step({ ...state, viewports }),
  accepted: (state, { app, function: name, input }) => {
    const key = functionKey(app, name);
    const inputs = new Map(state.inputs).set(key, remember(state.inputs.get(key) ?? [], inputText(input)));
    return step({ ...state, inputs, editor: undefined }, { kind: "keep", functionKey: key, inputs: inputs.get(key) ?? [] });
  },
  refused: (state, { sentence, nowMs }) => {
    if (state.editor) return step({ ...state, editor: { ...state.editor, problem: `not sent: ${sentence}` } });
    return step(withNotice(state, "error", sentence, nowMs));
  },
  config: (state, { config }) => step({ ...state, config }),
  inputs: (state, { inputs }) => step({ ...state, inputs: new Map([...Object.entries(inputs), ...state.inputs]) }),
  inspected: (state, { kind: _, ...answer }) => step(withVariables(state, answer)),
  operations: (state, { told, nowMs }) => step(withOperations(state, told, nowMs)),
  said: (state, { text, nowMs }) => step(withNotice(state, "info", text, nowMs)),
  copied: (state, { what, nowMs }) => step(withNotice(state, "info", `copied ${what}`, nowMs)),
};

export function update(state: State, event: ModelEvent): Step {
  // The table has one handler for each kind, of that kind; TypeScript cannot follow the pairing through a union.
  const handler = handlers[event.kind] as (state: State, event: ModelEvent) => Step;
  const next = handler(state, event);
  if (next.state.tour === 0) return next;
  const toured = advanceTour(next.state);
  return toured.state === next.state ? next : step(toured.state, ...next.effects, ...toured.effects);
}

function withNotice(state: State, level: "info" | "error", text: string, nowMs: number): State {
  return { ...state, notice: { level, text, timeMs: nowMs, shownAtMs: nowMs } };
}

/** A notice from the pool has the pool's clock; its time on the screen starts with the first tick that sees it. */
function withoutOldNotice(state: State, nowMs: number): State {
  const { notice } = state;
  if (!notice) return state;
  if (notice.shownAtMs === 0) return { ...state, notice: { ...notice, shownAtMs: nowMs } };
  return nowMs - notice.shownAtMs < noticeMs ? state : { ...state, notice: undefined };
}

function withReceipt(receipts: readonly Receipt[], receipt: Receipt): readonly Receipt[] {
  const at = receipts.findIndex(({ id }) => id === receipt.id);
  return at >= 0 ? receipts.with(at, receipt) : [receipt, ...receipts].slice(0, keptReceipts);
}

function withMap(maps: readonly MapInfo[], map: MapInfo): readonly MapInfo[] {
  const at = maps.findIndex(({ id }) => id === map.id);
  return at >= 0 ? maps.with(at, map) : [map, ...maps].slice(0, keptMaps);
}

function withCalls(state: State, changes: readonly CallChange[]): State {
  const measured = changes.findLast(({ saveToResultMs }) => saveToResultMs !== undefined);
  return {
    ...state,
    calls: recordCalls(state.calls, changes),
    saveToResultMs: measured?.saveToResultMs ?? state.saveToResultMs,
  };
}

function withProgress(known: readonly Progress[], news: Progress): readonly Progress[] {
  const others = known.filter(({ what, node }) => what !== news.what || node !== news.node);
  return news.phase === "ready" ? others : [...others, news];
}

/** Joins the logs and the calls of a burst, so that each of the two is taken in once; everything else stays in its order. */
export function coalesce(events: readonly WorkbenchEvent[]): ModelEvent[] {
  const rest: ModelEvent[] = [];
  const lines: LogLine[] = [];
  const changes: CallChange[] = [];
  for (const event of events) {
    if (event.kind === "logs") for (const entry of event.lines) lines.push(entry);
    else if (event.kind === "call") changes.push(event);
    else rest.push(event);
  }
  if (changes.length > 0) rest.push({ kind: "calls", changes });
  if (lines.length > 0) rest.push({ kind: "logs", lines });
  return rest;
}
