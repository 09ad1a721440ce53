// ⑧ Everything that the screen knows. It changes only by update.ts; what it looks like is decided in screen/.

import type { Diagnostic, FunctionView, Receipt, WorkbenchEvent } from "../../project/events.ts";
import type { FunctionSpec, Value } from "../../proto/gen/hob/v1/common.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { type Config, defaultConfig } from "../config.ts";
import type { BuildRecord } from "./builds.ts";
import { type CallBook, type CallRecord, emptyCallBook, functionKey, isFinished, newestFirst } from "./calls.ts";
import type { Editor } from "./editor.ts";
import { emptyFleet, type FleetHistory, type SpanMinutes } from "./fleet.ts";
import { emptyLogBook, type LogBook } from "./logs.ts";
import { firstLogView, type LogView } from "./logview.ts";
import type { OperationsKnown } from "./operations.ts";
import type { ReplayState } from "./replay.ts";
import type { Variables } from "./variables.ts";

export const panes = ["functions", "run", "runs", "fleet"] as const;
export type Pane = (typeof panes)[number];

export type ViewName = "main" | "run" | "logs" | "fleet" | "images" | "operations" | "compare" | "help";

/** What scrolls by lines: two panes and the full views. */
export type Surface =
  | "run"
  | "fleet"
  | "runView"
  | "logsView"
  | "fleetView"
  | "imagesView"
  | "operationsView"
  | "compareView"
  | "helpView";

/** What has a filter of its own. */
export type Filtered = Pane | "logs";

interface Scroll {
  /** Shows the end, and stays there as lines come. */
  readonly follow: boolean;
  readonly top: number;
}

/** What the screen last showed of a surface; keys move relative to it. */
export interface Viewport {
  readonly total: number;
  readonly height: number;
  readonly top: number;
}

type EventOf<K extends WorkbenchEvent["kind"]> = Extract<WorkbenchEvent, { kind: K }>;
type Link = Omit<EventOf<"link">, "kind">;
export type Progress = Omit<EventOf<"progress">, "kind">;
type Notice = Omit<EventOf<"notice">, "kind">;

export interface State {
  readonly config: Config;
  readonly pool: string;
  readonly build: string;
  readonly columns: number;
  readonly rows: number;
  readonly focused: boolean; // the terminal has the keyboard; true where it does not tell
  readonly link: Link;
  readonly project: Omit<EventOf<"project">, "kind"> | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly receipts: readonly Receipt[]; // newest first
  readonly saveToResultMs: number | undefined;
  readonly calls: CallBook;
  readonly maps: readonly MapInfo[]; // latest first
  readonly logs: LogBook;
  readonly fleet: FleetHistory;
  readonly spanMinutes: SpanMinutes; // how far back the charts look
  readonly progress: readonly Progress[]; // one for each thing under way
  readonly builds: readonly BuildRecord[]; // latest first
  readonly operations: OperationsKnown | undefined; // once they have been asked for
  readonly schedulesAskedMs: number; // by the pool's clock
  readonly confirming: string | undefined; // the app that the next key may deploy
  readonly notice: (Notice & { shownAtMs: number }) | undefined;
  readonly paused: boolean;
  readonly view: ViewName;
  readonly focus: Pane;
  readonly selected: string | undefined; // function key
  readonly marked: readonly string[]; // ids of calls to compare, at most two, the latest last
  readonly inspected: string | undefined; // id of a call that was chosen in Runs; undefined shows the latest of the function
  readonly scroll: Readonly<Record<Surface, Scroll>>;
  readonly viewports: Readonly<Partial<Record<Surface, Viewport>>>;
  readonly wrap: boolean;
  readonly details: boolean; // of a traceback: the frames of others too
  readonly variables: Variables | undefined; // of a failed call's frames
  readonly filters: Readonly<Record<Filtered, string>>;
  readonly filtering: boolean; // keys go to the filter of what is in front
  readonly logView: LogView;
  readonly editor: Editor | undefined;
  readonly palette: { readonly text: string; readonly selected: number } | undefined; // the command palette is open
  readonly inputs: ReadonlyMap<string, readonly string[]>; // by function key, latest first
  readonly replay: ReplayState | undefined; // a recorded session is shown
  readonly tour: number; // the step that is next, from 1; 0: none
  readonly interrupted: boolean; // the last key was a ctrl-c that had nothing to cancel
}

const atEnd: Scroll = { follow: true, top: 0 };
const atTop: Scroll = { follow: false, top: 0 };

export interface StateOptions {
  pool: string;
  build: string;
  columns: number;
  rows: number;
  nowMs: number;
}

export function initialState({ pool, build, columns, rows, nowMs }: StateOptions): State {
  return {
    config: defaultConfig,
    pool,
    build,
    columns,
    rows,
    focused: true,
    link: { state: "connecting", sinceMs: nowMs, detail: "" },
    project: undefined,
    diagnostics: [],
    receipts: [],
    saveToResultMs: undefined,
    calls: emptyCallBook,
    maps: [],
    logs: emptyLogBook,
    fleet: emptyFleet,
    spanMinutes: 1,
    progress: [],
    builds: [],
    operations: undefined,
    schedulesAskedMs: 0,
    confirming: undefined,
    notice: undefined,
    paused: false,
    view: "main",
    focus: "functions",
    selected: undefined,
    marked: [],
    inspected: undefined,
    scroll: {
      run: atEnd,
      fleet: atTop,
      runView: atTop,
      logsView: atEnd,
      fleetView: atTop,
      imagesView: atTop,
      operationsView: atTop,
      compareView: atTop,
      helpView: atTop,
    },
    details: false,
    variables: undefined,
    viewports: {},
    wrap: false,
    filters: { functions: "", run: "", runs: "", fleet: "", logs: "" },
    filtering: false,
    logView: firstLogView,
    editor: undefined,
    palette: undefined,
    inputs: new Map(),
    replay: undefined,
    tour: 0,
    interrupted: false,
  };
}

export function keyOf(spec: FunctionSpec): string {
  return functionKey(spec.app, spec.name);
}

const matches = (text: string, filter: string): boolean => text.toLowerCase().includes(filter.toLowerCase());

/** The functions that pane 1 lists. */
export function listedFunctions(state: State): readonly FunctionView[] {
  const all = state.project?.functions ?? [];
  const filter = state.filters.functions;
  return filter === "" ? all : all.filter(({ spec }) => matches(spec.name, filter));
}

/** The one that the person chose; until then the one that the latest save ran; else the first. */
export function selectedFunction(state: State): FunctionView | undefined {
  const listed = listedFunctions(state);
  const wanted = state.selected ?? latestSaved(state);
  return listed.find(({ spec }) => keyOf(spec) === wanted) ?? listed[0];
}

function latestSaved(state: State): string | undefined {
  const saved = newestFirst(state.calls).find(({ info }) => info.origin === "save");
  return saved && functionKey(saved.info.app, saved.info.function);
}

/** The call that pane 2 shows: the one chosen in Runs, else the latest of the selected function. */
export function shownCall(state: State): CallRecord | undefined {
  const chosen = state.inspected === undefined ? undefined : state.calls.byId.get(state.inspected);
  if (chosen) return chosen;
  const spec = selectedFunction(state)?.spec;
  return spec && newestFirst(state.calls).find(({ info }) => info.app === spec.app && info.function === spec.name);
}

/** Whose filter is typed. */
export function filteredOf({ view, focus }: Pick<State, "view" | "focus">): Filtered {
  return view === "logs" ? "logs" : focus;
}

/** The surface that the movement keys scroll, if the focus is on one. */
export function surfaceOf(state: State): Surface | undefined {
  if (state.view === "run") return "runView";
  if (state.view === "logs") return "logsView";
  if (state.view === "fleet") return "fleetView";
  if (state.view === "images") return "imagesView";
  if (state.view === "compare") return "compareView";
  if (state.view === "help") return "helpView";
  return state.focus === "run" || state.focus === "fleet" ? state.focus : undefined;
}

/** The receipt of the save that made the snapshot which a call ran. */
export function receiptOf(state: State, call: CallRecord): Receipt | undefined {
  if (call.info.snapshot === "" || call.info.origin !== "save") return undefined;
  return state.receipts.find(({ snapshot }) => snapshot === call.info.snapshot);
}

/** The folder that the paths of the project lie in; undefined where they are not on this machine. */
export function filesRoot({ project, replay }: State): string | undefined {
  return replay ? undefined : project?.root;
}

/** True while something on the screen counts seconds. */
export function showsTime(state: State): boolean {
  if (state.link.state !== "live" || state.notice || state.replay?.state === "playing") return true;
  if (state.view === "operations") return true;
  const call = shownCall(state);
  return call !== undefined && !isFinished(call.info);
}

const parsed = new WeakMap<Uint8Array, { value: unknown }>();

/** A value's JSON, parsed once; undefined when it is absent or empty. What is not JSON comes back as its text. */
export function parsedJson(json: Value["json"] | undefined): unknown {
  if (!json || json.length === 0) return undefined;
  const known = parsed.get(json);
  if (known) return known.value;
  const text = json.toString("utf8");
  let value: unknown = text;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    // A newer runner's encoding: its text is still worth showing.
  }
  parsed.set(json, { value });
  return value;
}
