// ⑧ Last save: what it changed and why, what each step cost; or the fault in the text, and that the version before keeps serving.

import type { Diagnostic, Receipt, Tier } from "../../../project/events.ts";
import { filesRoot } from "../../model/state.ts";
import { clean } from "../../text.ts";
import { count, duration, size, timeOfDay } from "../../units.ts";
import { failureSentence, placeSpan } from "../failure.ts";
import { fitting, joined, type Line, line, type Span, span, spread, widthOf, wrapped } from "../line.ts";
import type { DrawContext, Drawn } from "../section.ts";
import { sourceLine } from "../source.ts";

const tiers: Record<Tier, string> = { patch: "patch, state kept", fork: "fork", container: "new container" };
const order: readonly Tier[] = ["patch", "fork", "container"];

/** The costliest tier among the changes. */
function tierOf(receipt: Receipt): Tier | undefined {
  return order.findLast((tier) => receipt.changes.some((change) => change.tier === tier));
}

function listing(names: readonly string[], shown: number): string {
  const rest = names.length - shown;
  return names.slice(0, shown).join(", ") + (rest > 0 ? ` and ${count(rest)} more` : "");
}

function headline(receipt: Receipt, width: number): Line {
  const mark = {
    described: span("◌ ", "accent"),
    shipped: span("◌ ", "accent"),
    loaded: span("✓ ", "good"),
    failed: span("✗ ", "bad"),
  }[receipt.state];
  const files: Line = [span(receipt.files.length === 0 ? "the project" : listing(receipt.files, 1), "strong")];
  if (receipt.nothing !== undefined) return [span("· ", "dim"), ...files, span(`  nothing to reload: ${receipt.nothing}`, "dim")];
  const changed = receipt.changes.map(({ function: name, reason }) => `${name} (${reason})`);
  const removed = receipt.removed.map((name) => `${name} removed`);
  const effects = [...changed, ...removed];
  const variants = [...effects.keys()]
    .reverse()
    .map((index) => [mark, ...files, span(" → ", "dim"), span(listing(effects, index + 1))]);
  if (variants.length === 0) variants.push([mark, ...files]);
  const tier = tierOf(receipt);
  if (!tier) return fitting(variants, width);
  const shortest = widthOf(variants.at(-1) ?? []);
  const word = shortest + tiers[tier].length + 2 <= width ? tiers[tier] : tier;
  return spread(fitting(variants, width - word.length - 2), [span(word, "accent")], width);
}

type StepName = Exclude<keyof Receipt["ms"], "total">;
const steps: readonly StepName[] = ["watch", "describe", "ship", "load", "run"];

function stepSpans(receipt: Receipt, name: StepName): Line {
  const ms = receipt.ms[name];
  if (ms === undefined) return [];
  const bytes = name === "ship" && receipt.bytesShipped > 0 ? ` ${size(receipt.bytesShipped)}` : "";
  return [span(`${name} `, "dim"), span(duration(ms)), span(bytes, "dim")];
}

/** The steps, as many on a line as fit. */
function costLines(receipt: Receipt, width: number): Line[] {
  const total: Line = receipt.ms.total === undefined ? [] : [span("total ", "dim"), span(duration(receipt.ms.total), "strong")];
  const lines: Line[] = [];
  for (const part of [...steps.map((name) => stepSpans(receipt, name)), total]) {
    const last = lines.at(-1);
    const longer = last && joined([last, part], "  ");
    if (longer && widthOf(longer) <= width) lines[lines.length - 1] = longer;
    else if (part.length > 0) lines.push([span("  "), ...part]);
  }
  return lines;
}

function receiptLines(receipt: Receipt, width: number, root: string | undefined): Line[] {
  const lines = [headline(receipt, width), ...costLines(receipt, width)];
  if (!receipt.failure) return lines;
  const at = receipt.failure.frames.findLast(({ own }) => own);
  return [
    lines[0] ?? [],
    line(`  ${failureSentence(receipt.failure)}`, "bad"),
    ...(at ? [[span("  "), placeSpan(`${at.file}:${at.line}`, root, at), span("  "), ...sourceLine(at.source, at.file)]] : []),
    line("  the versions before keep serving", "dim"),
    ...lines.slice(1),
  ];
}

function diagnosticLines(diagnostics: readonly Diagnostic[], width: number, height: number, root: string | undefined): Line[] {
  const [first, ...others] = diagnostics;
  if (!first) return [];
  const where =
    first.line === 0
      ? first.file
      : first.column === 0
        ? `${first.file}:${first.line}`
        : `${first.file}:${first.line}:${first.column}`;
  const more = others.length > 0 ? ` and ${count(others.length)} more` : "";
  const serving = line(`  the versions before keep serving${more === "" ? "" : `;${more}`}`, "dim");
  const source = first.sourceLine.trim() === "" ? [] : pointed(first, width);
  const lines = [...faultLines(placeSpan(where, root, first), first.message, width, height - source.length - 1), ...source];
  // On a low pane the caret's own line has room for the sentence.
  if (lines.length + 1 > height) return [...lines.slice(0, -1), [...(lines.at(-1) ?? []), ...serving]];
  return [...lines, serving];
}

/** Place and message on one line where they fit, else the message over as many lines below as there is room for. */
function faultLines(where: Span, message: string, width: number, room: number): Line[] {
  const head: Line = [span("✗ ", "bad"), where];
  if (room < 2 || where.text.length + message.length + 4 <= width) return [[...head, span(`  ${message}`, "bad")]];
  return [
    head,
    ...wrapped(message, width - 2, "bad")
      .slice(0, room - 1)
      .map((spans): Line => [span("  "), ...spans]),
  ];
}

/** The source line with a caret under the column, both shifted so that the caret is in view. */
function pointed({ file, sourceLine: whole, column }: Diagnostic, width: number): Line[] {
  const indent = whole.length - whole.trimStart().length;
  const source = clean(whole.trim());
  const at = Math.max(0, clean(whole.slice(indent, Math.max(indent, column - 1))).length);
  const room = width - 6;
  const from = at < room ? 0 : at - Math.floor(room / 2);
  const shown = from === 0 ? source : `…${source.slice(from + 1)}`;
  const caret: Line = column === 0 ? [] : [span(`    ${" ".repeat(at - from)}`), span("^", "bad")];
  const text: Line = [span("    "), ...sourceLine(shown, file)];
  return column === 0 ? [text] : [text, caret];
}

export function drawSave({ state, width, height }: DrawContext): Drawn {
  const receipt = state.receipts[0];
  const root = filesRoot(state);
  const title = [
    span("Last save"),
    span(receipt ? `  ${timeOfDay(receipt.savedAtMs)}` : "", "dim"),
    span(state.paused ? "  ‖ paused: saves wait" : "", "warn"),
  ];
  const inner = width - 2;
  const edge = (lines: Line[]): Line[] => lines.map((spans) => [span(" "), ...spans]);
  if (state.diagnostics.length > 0) {
    const faults = diagnosticLines(state.diagnostics, inner, height, root);
    // What other files did goes on below the fault, where there is room for it.
    const others = receipt && !receipt.files.includes(state.diagnostics[0]?.file ?? "") ? receiptLines(receipt, inner, root) : [];
    return { title, lines: edge([...faults, ...others].slice(0, height)) };
  }
  if (receipt) {
    // A save that reloads nothing does not hide what the one before it did.
    const effective = receipt.nothing === undefined ? undefined : state.receipts.find(({ nothing }) => nothing === undefined);
    const lines = [...receiptLines(receipt, inner, root).slice(0, 1), ...(effective ? receiptLines(effective, inner, root) : [])];
    return { title, lines: edge((effective ? lines : receiptLines(receipt, inner, root)).slice(0, height)) };
  }
  return { title, lines: edge(wrapped("no save yet: change a function in your editor and save", inner, "dim")) };
}
