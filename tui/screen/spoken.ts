// ⑧ What a screen reader is told: sentences for what has changed from one state to the next, each once. Pure.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import { isFinished, medianMs, newestFirst, runMs } from "../model/calls.ts";
import { paletteItems } from "../model/commands.ts";
import { emptyLog } from "../model/logs.ts";
import { keyOf, listedFunctions, parsedJson, type State, selectedFunction, shownCall, surfaceOf } from "../model/state.ts";
import { clean } from "../text.ts";
import { count, counted, duration } from "../units.ts";
import { failureSentence } from "./failure.ts";
import { drawView } from "./frame.ts";
import { callMarks } from "./marks.ts";
import { inline } from "./value.ts";

const longestValue = 200;
/** Of a call's output at a time; more is counted. */
const mostLines = 8;

const paneNames = { functions: "Functions", run: "Run", runs: "Runs", fleet: "Fleet" } as const;
const linkWords = { live: "connected to pool", connecting: "connecting to pool", lost: "the pool is gone:" } as const;

type Speaker = (before: State, after: State, nowMs: number) => string[];

const outcome = (info: CallInfo): string => {
  const name = `run ${info.number} of ${info.function}`;
  const ran = runMs(info);
  const time = ran === undefined ? "" : ` after ${duration(ran)}`;
  if (info.failure) {
    const at = info.failure.frames.findLast(({ own }) => own);
    return `${name} failed${time}: ${failureSentence(info.failure)}${at ? `, ${at.file} line ${at.line}` : ""}`;
  }
  if (info.state !== "succeeded") return `${name} ${info.state}${time}`;
  const result = info.result?.large ? "a large value" : inline(parsedJson(info.result?.json), longestValue);
  return `${name} done${time}, result ${result}`;
};

/** Those that a person or a save has started. */
const ownCalls = (state: State): CallInfo[] =>
  newestFirst(state.calls)
    .map(({ info }) => info)
    .filter(({ parent, origin }) => parent === "" && origin !== "map");

function functionWords(state: State): string {
  const view = selectedFunction(state);
  if (!view) return "no function";
  const listed = listedFunctions(state);
  const runs = state.calls.recent.get(keyOf(view.spec)) ?? [];
  const median = medianMs(runs);
  const parts = [
    view.spec.name,
    view.spec.language === "python" ? "Python" : "TypeScript",
    view.pinned ? "pinned" : "",
    runs.length === 0 ? "no run yet" : `last run ${callMarks[runs.at(-1)!.state].word}`,
    median === undefined ? "" : `median ${duration(median)}`,
    `${listed.indexOf(view) + 1} of ${listed.length}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

const link: Speaker = (before, { link: now, pool }) =>
  before.link.state === now.state && before.link.detail === now.detail
    ? []
    : [`${linkWords[now.state]} ${now.state === "lost" ? now.detail : pool}`];

const project: Speaker = (before, after) => {
  const names = (state: State): string => state.project?.functions.map(({ spec }) => spec.name).join(", ") ?? "";
  if (!after.project || (before.project && names(before) === names(after))) return [];
  return [`${counted(after.project.functions.length, "function")}: ${names(after) || "none yet"}`];
};

const faults: Speaker = (before, { diagnostics }) => {
  if (before.diagnostics === diagnostics) return [];
  if (diagnostics.length === 0) return before.diagnostics.length > 0 ? ["no fault in the text any more"] : [];
  const [first] = diagnostics;
  const more = diagnostics.length > 1 ? `, and ${count(diagnostics.length - 1)} more` : "";
  return [`fault in ${first?.file} line ${first?.line}: ${first?.message}${more}; the versions before keep serving`];
};

const saves: Speaker = (before, { receipts }) =>
  receipts.flatMap((receipt) => {
    const done = receipt.state === "loaded" || receipt.state === "failed" || receipt.nothing !== undefined;
    const known = before.receipts.find(({ id }) => id === receipt.id);
    if (!done || known === receipt || (known && (known.state === receipt.state || known.nothing !== undefined))) return [];
    const files = receipt.files.join(", ") || "the project";
    if (receipt.nothing !== undefined) return [`${files} saved, nothing to reload: ${receipt.nothing}`];
    const changes = receipt.changes.map(({ function: name, reason, tier }) => `${name} ${reason}, ${tier}`).join("; ");
    if (receipt.failure)
      return [`${files} saved, and not loaded: ${failureSentence(receipt.failure)}; the versions before keep serving`];
    return [`${files} saved: ${changes}${receipt.ms.total === undefined ? "" : `, ${duration(receipt.ms.total)}`}`];
  });

const outcomes: Speaker = (before, after) => {
  if (before.calls === after.calls) return [];
  return ownCalls(after)
    .filter((info) => {
      const known = before.calls.byId.get(info.id)?.info;
      return known?.state !== info.state && (known !== undefined || info.queuedAtMs >= after.link.sinceMs); // not what the pool only recalls
    })
    .filter((info) => isFinished(info) || info.state === "running")
    .reverse()
    .map((info) => (isFinished(info) ? outcome(info) : `run ${info.number} of ${info.function} started`));
};

/** New lines of the run that is shown. */
const output: Speaker = (before, after) => {
  const call = shownCall(after)?.info.id;
  if (call === undefined || before.logs === after.logs) return [];
  const [then, now] = [before, after].map(({ logs }) => logs.byCall.get(call) ?? emptyLog);
  const fresh = now!.lines + now!.dropped - (then!.lines + then!.dropped);
  if (fresh <= 0) return [];
  const lines = now!.chunks.flat().slice(-Math.min(fresh, mostLines));
  const left = fresh - lines.length;
  return [...(left > 0 ? [`${count(left)} lines of output before`] : []), ...lines.map(({ text }) => text)];
};

const notices: Speaker = (before, { notice, confirming }) => [
  ...(notice && notice.text !== before.notice?.text ? [notice.text] : []),
  ...(confirming !== undefined && before.confirming === undefined ? [`the same key again deploys ${confirming}`] : []),
];

const paused: Speaker = (before, after) =>
  before.paused === after.paused ? [] : [after.paused ? "paused: saves wait" : "saves are shipped again"];

/** A view's lines as it is opened; those that are new where it was scrolled. */
const views: Speaker = (before, after, nowMs) => {
  if (after.view === "main") return before.view === "main" ? [] : [`back, ${paneNames[after.focus]}`];
  const surface = surfaceOf(after);
  const top = (state: State): number | undefined => surface && state.viewports[surface]?.top;
  const opened = before.view !== after.view;
  if (!opened && top(before) === top(after) && before.details === after.details) return [];
  const { title, lines } = drawView(after, nowMs);
  const known = new Set(opened ? [] : drawView(before, nowMs).lines);
  return [...(opened ? [title] : []), ...lines.filter((text) => text !== "" && !known.has(text))];
};

const choices: Speaker = (before, after) => {
  const said: string[] = [];
  if (before.focus !== after.focus && after.view === "main") said.push(paneNames[after.focus]);
  const key = (state: State): string => keyOf(selectedFunction(state)?.spec ?? FunctionSpec.create());
  if ((before.project && key(before) !== key(after)) || (before.focus !== after.focus && after.focus === "functions"))
    said.push(functionWords(after));
  const call = shownCall(after)?.info;
  if (before.inspected !== after.inspected && call)
    said.push(isFinished(call) ? outcome(call) : `run ${call.number} of ${call.function}, ${call.state}`);
  return said;
};

const typing: Speaker = (before, after) => {
  const { editor, palette, variables } = after;
  const said: string[] = [];
  if (editor && !before.editor) said.push(`input of ${editor.functionKey}: ${editor.text}`);
  if (editor && editor.problem !== undefined && editor.problem !== before.editor?.problem) said.push(editor.problem);
  if (palette && palette !== before.palette) {
    const items = paletteItems(after);
    const item = items[Math.min(palette.selected, items.length - 1)];
    said.push(item ? `${item.name}: ${item.refusal ?? item.description}` : "nothing is called so");
  }
  if (after.filtering && !before.filtering) said.push("filter, enter keeps it, escape shows all");
  if (variables?.state === "told" && variables !== before.variables) {
    if (variables.reason !== "") said.push(`no variables: ${variables.reason}`);
    for (const { file, line, function: name, locals } of variables.frames) {
      said.push(`in ${name}, ${file} line ${line}`, ...locals.map((local) => `${local.name} is ${local.value}`));
    }
  }
  return said;
};

const speakers: readonly Speaker[] = [link, project, faults, saves, output, outcomes, paused, choices, views, typing, notices];

export function spoken(before: State, after: State, nowMs: number): string[] {
  return before === after ? [] : speakers.flatMap((speak) => speak(before, after, nowMs)).map((text) => clean(text).trim());
}

/** What is being typed, else where one is: the one line that changes in place. */
export function promptOf(state: State): string {
  if (state.editor) return `input: ${state.editor.text}`;
  if (state.palette) return `command: ${state.palette.text}`;
  if (state.filtering) return `filter: ${state.view === "logs" ? state.filters.logs : state.filters[state.focus]}`;
  return `hob, ${state.view === "main" ? paneNames[state.focus] : state.view}, ${selectedFunction(state)?.spec.name ?? "no function"}; ? for keys`;
}
