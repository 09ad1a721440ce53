// ⑧ The keys: one table, from which the footer, the help and the dispatch come. Two actions on one key are refused at start.

import { HobError } from "../base/errors.ts";
import type { Config } from "./config.ts";
import {
  back,
  cancel,
  copy,
  focusNext,
  focusPane,
  interrupt,
  move,
  movePages,
  needsLiveFunction,
  needsOutcome,
  needsPool,
  needsRunningCall,
  needsSomethingToOpen,
  nextSpan,
  open,
  openFleet,
  openHelp,
  openImages,
  openPalette,
  quit,
  type Refusal,
  runAgain,
  runWith,
  shell,
  startFilter,
  toggleDetails,
  toggleFollow,
  togglePause,
  togglePin,
  toggleWrap,
} from "./model/actions.ts";
import { keepShownInput, needsInput, needsInputAndPool, runShownAgain } from "./model/again.ts";
import { compare, needsShownCall, needsTwoRuns, toggleMark } from "./model/compare.ts";
import type { Step } from "./model/effects.ts";
import { createProject, endTour, needsEmptyFolder, needsTour } from "./model/first.ts";
import { needsLogs, needsPattern, nextLevel, nextMatch, openLogs, toggleMarked } from "./model/logview.ts";
import { deploy, needsDeployable, openOperations } from "./model/operations.ts";
import { browse, editPlace, needsPlace, needsText, needsUrl, pageText, suspend } from "./model/outside.ts";
import { changeReplay, needsReplay } from "./model/replay.ts";
import type { State } from "./model/state.ts";
import { needsFailure, toggleVariables } from "./model/variables.ts";

export interface KeyBinding {
  readonly keys: readonly string[];
  /** What it is called, in the footer and the palette; settingName in the file of settings. */
  readonly name: string;
  readonly description: string;
  readonly group: "call" | "show" | "move" | "replay" | "hob";
  readonly refusal?: (state: State) => Refusal;
  readonly act: (state: State) => Step;
}

const far = Number.MAX_SAFE_INTEGER;

type Row = [keys: string, name: string, description: string, act: KeyBinding["act"], refusal?: KeyBinding["refusal"]];

function group(name: KeyBinding["group"], rows: readonly Row[]): KeyBinding[] {
  return rows.map(([keys, action, description, act, refusal]) => ({
    keys: keys.split(" "),
    name: action,
    description,
    group: name,
    act,
    ...(refusal ? { refusal } : {}),
  }));
}

export const keyTable: readonly KeyBinding[] = [
  ...group("call", [
    ["r", "run", "run the function again with its last input", runAgain, needsPool],
    ["R", "run with…", "edit the input (JSON), then run", runWith, needsPool],
    [
      "a",
      "run again",
      "run the function of the run that is shown, as it is now, with that run's input",
      runShownAgain,
      needsInputAndPool,
    ],
    ["K", "keep input", "keep the input of the run that is shown: `hob replay-input` runs it again", keepShownInput, needsInput],
    ["p", "pin", "run on every save, with the last input; again: no longer", togglePin, needsLiveFunction],
    ["c", "cancel", "cancel the call that is shown", cancel, needsRunningCall],
    ["s", "shell", "a terminal in a container of the function; when it ends, this screen comes back", shell, needsPool],
    ["d", "deploy", "what runs here of the app becomes what its callers get; twice in a row does it", deploy, needsDeployable],
    ["space", "pause", "notice saves but do not ship them; again: go on", togglePause],
  ]),
  ...group("show", [
    ["enter", "open", "open the pane in full: a run, or the fleet", open, needsSomethingToOpen],
    ["l", "logs", "the logs of the function in full", openLogs("function")],
    ["L", "all logs", "the logs of all functions in full", openLogs("all")],
    ["v", "level", "in the logs: all levels, info, warnings, errors", nextLevel, needsLogs],
    [
      "m",
      "matches",
      "in the logs: only the lines that match the filter, or all with the matches marked",
      toggleMarked,
      needsPattern,
    ],
    ["n", "next match", "in the logs: the next line that matches, among its neighbours", nextMatch(1), needsPattern],
    ["N", "match before", "in the logs: the line before that matches", nextMatch(-1), needsPattern],
    ["F", "fleet", "the fleet in full: containers and latency over time, nodes, containers", openFleet],
    ["z", "span", "how far back the charts look: 1, 5, 15 or 60 minutes", nextSpan],
    ["+", "mark", "mark the run that is shown, to compare it; again: no longer", toggleMark, needsShownCall],
    ["=", "compare", "two runs beside each other: the marked ones, or this one and the one before", compare, needsTwoRuns],
    ["D", "details", "of a traceback: the frames of others too; again: only the project's", toggleDetails],
    ["i", "variables", "of a failure in Python: what its variables held; again: no longer", toggleVariables, needsFailure],
    ["I", "images", "the images: what they hold, and how their builds went", openImages],
    ["A", "deployments", "what is deployed of each app, and what the clock calls when", openOperations],
    ["esc", "back", "leave a view, a filter, the choice of a call", back],
    ["/", "filter", "show only what contains a text, in the pane that has the focus", startFilter],
    ["f", "follow", "follow the output to its end; again: stay here", toggleFollow],
    ["w", "wrap", "wrap long lines of output; again: cut them", toggleWrap],
    ["e", "edit", "the error's line in $EDITOR, or the function's", editPlace, needsPlace],
    ["b", "browse", "open the endpoint in the browser, and copy its address", browse, needsUrl],
    ["o", "open in pager", "the output and the result in $PAGER", pageText, needsText],
    ["y", "copy", "copy the result or the traceback to the clipboard", copy, needsOutcome],
  ]),
  ...group("move", [
    ["j down", "down", "one line down", move(1)],
    ["k up", "up", "one line up", move(-1)],
    ["g home", "top", "to the first line", move(-far)],
    ["G end", "bottom", "to the last line", move(far)],
    ["pagedown ctrl-d", "page down", "a page down", movePages(1)],
    ["pageup ctrl-u", "page up", "a page up", movePages(-1)],
    ["tab", "next pane", "focus the next pane", focusNext(1)],
    ["shift-tab", "previous pane", "focus the pane before", focusNext(-1)],
    ["1", "functions", "focus Functions", focusPane("functions")],
    ["2", "run pane", "focus Run", focusPane("run")],
    ["3", "runs", "focus Runs", focusPane("runs")],
    ["4", "fleet pane", "focus Fleet", focusPane("fleet")],
  ]),
  ...group("replay", [
    [".", "step", "one event on, then wait (space goes on)", changeReplay("step"), needsReplay],
    [">", "faster", "twice as fast", changeReplay("faster"), needsReplay],
    ["<", "slower", "half as fast", changeReplay("slower"), needsReplay],
  ]),
  ...group("hob", [
    ["P", "new python project", "in an empty folder: a small project in Python", createProject("python"), needsEmptyFolder],
    [
      "T",
      "new typescript project",
      "in an empty folder: a small project in TypeScript",
      createProject("typescript"),
      needsEmptyFolder,
    ],
    ["X", "end tour", "end the tour for ever", endTour, needsTour],
    [":", "commands", "every command and function, found by some of its letters", openPalette],
    ["?", "help", "this page", openHelp],
    ["ctrl-z", "suspend", "back to the shell; fg brings the screen back", suspend],
    ["q", "quit", "leave hob", quit],
    ["ctrl-c", "interrupt", "cancel what is under way; a second time: quit", interrupt],
  ]),
];

/** What an action is called in the file of settings: "run-with" for "run with…". */
export function settingName({ name }: KeyBinding): string {
  return name.replace(/[^a-z]+/g, "-").replace(/-$/, "");
}

/** The table with the person's own keys, by names of settings. Throws where two actions then claim one key. */
export function keysWith(own: Readonly<Record<string, readonly string[]>>): readonly KeyBinding[] {
  const table = keyTable.map((binding) => ({ ...binding, keys: own[settingName(binding)] ?? binding.keys }));
  checkKeys(table);
  return table;
}

/** Throws where two actions claim one key: the table, or a person's settings, is then wrong. */
export function checkKeys(table: readonly KeyBinding[]): ReadonlyMap<string, KeyBinding> {
  const byKey = new Map<string, KeyBinding>();
  for (const binding of table) {
    for (const key of binding.keys) {
      const other = byKey.get(key);
      if (other) {
        throw new HobError("usage", `key "${key}" is bound to "${other.name}" and to "${binding.name}"`, {
          remedy: "give one of them another key",
        });
      }
      byKey.set(key, binding);
    }
  }
  return byKey;
}

interface Keys {
  readonly table: readonly KeyBinding[];
  readonly byKey: ReadonlyMap<string, KeyBinding>;
}

const known = new WeakMap<Config, Keys>();

function keysOf({ config }: Pick<State, "config">): Keys {
  let keys = known.get(config);
  if (!keys) {
    const table = keysWith(config.keys);
    keys = { table, byKey: checkKeys(table) };
    known.set(config, keys);
  }
  return keys;
}

export function bindingOf(state: Pick<State, "config">, key: string): KeyBinding | undefined {
  return keysOf(state).byKey.get(key);
}

/** The keys as they are now, for whoever shows them. */
export function keysNow(state: Pick<State, "config">): readonly KeyBinding[] {
  return keysOf(state).table;
}
