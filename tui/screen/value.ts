// ⑧ Arguments and results for people: on one line within a width, or spread over lines.

import type { Arguments } from "../../proto/gen/hob/v1/common.ts";
import { parsedJson } from "../model/state.ts";
import { count, size } from "../units.ts";

const deepest = 12;

/** What JSON cannot say, in the wire's words (common.proto, Value); undefined for an ordinary object. */
function special(value: object): string | undefined {
  if ("$bytes" in value && typeof value["$bytes"] === "string") {
    const text = value["$bytes"];
    return `bytes(${size(Math.floor((text.length * 3) / 4) - (text.match(/=*$/)?.[0].length ?? 0))})`;
  }
  return "$float" in value && typeof value["$float"] === "string" ? value["$float"] : undefined;
}

/** One line of at most about `width` cells: lists and objects say how many elements they leave out. */
export function inline(value: unknown, width: number): string {
  return compact(value, width, 0);
}

function* entriesOf(value: object): Generator<readonly [name: string, item: unknown]> {
  if (Array.isArray(value)) for (const item of value) yield ["", item];
  else for (const name in value) yield [`${JSON.stringify(name)}: `, (value as Record<string, unknown>)[name]];
}

const sizeOfValue = (value: object): number => (Array.isArray(value) ? value.length : Object.keys(value).length);

/** Looks at no more elements than it shows: results can have a million. */
function compact(value: unknown, width: number, depth: number): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > width ? `${value.slice(0, Math.max(1, width - 3))}…` : value);
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const known = special(value);
  if (known !== undefined) return known;
  const [opening, closing] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const total = sizeOfValue(value);
  if (total === 0) return opening + closing;
  if (depth >= deepest) return `${opening}…${closing}`;

  const moreColumns = 12; // for "… 509 more"
  const shown: string[] = [];
  let used = 2;
  for (const [name, item] of entriesOf(value)) {
    const room = width - used - moreColumns;
    if (shown.length > 0 && room <= 4) break;
    const text = name + compact(item, Math.max(8, room), depth + 1);
    // The last one may use the room that "… n more" would have taken.
    if (shown.length > 0 && text.length > (shown.length === total - 1 ? room + moreColumns : room)) break;
    shown.push(text);
    used += text.length + 2;
  }
  if (shown.length < total) shown.push(`… ${count(total - shown.length)} more`);
  return opening + shown.join(", ") + closing;
}

/** Indented lines; what fits on one line stays on one. Ends with "…" after `most` lines. */
export function pretty(value: unknown, width: number, most: number): string[] {
  const lines: string[] = [];
  for (const text of prettyLines(value, { before: "", after: "", indent: 0, width })) {
    if (lines.length === most) return [...lines, "… the rest is not shown; y copies the whole"];
    lines.push(text);
  }
  return lines;
}

interface Place {
  readonly before: string; // what stands before the value on its line
  readonly after: string;
  readonly indent: number;
  readonly width: number;
}

function* prettyLines(value: unknown, { before, after, indent, width }: Place): Generator<string> {
  const pad = "  ".repeat(indent);
  const nested = typeof value === "object" && value !== null && special(value) === undefined && indent < deepest;
  if (!nested) {
    yield pad + before + compact(value, Number.MAX_SAFE_INTEGER, indent) + after;
    return;
  }
  const flat = flatText(value, width - pad.length - before.length - after.length);
  if (flat !== undefined) {
    yield pad + before + flat + after;
    return;
  }
  const list = Array.isArray(value);
  yield pad + before + (list ? "[" : "{");
  if (list && value.every((item) => typeof item !== "object")) {
    for (const row of packed(value, width - pad.length - 2)) yield `${pad}  ${row}`;
  } else {
    let left = sizeOfValue(value);
    for (const [name, item] of entriesOf(value)) {
      left -= 1;
      yield* prettyLines(item, { before: name, after: left > 0 ? "," : "", indent: indent + 1, width });
    }
  }
  yield `${pad}${list ? "]" : "}"}${after}`;
}

/** Numbers and words, as many on a line as fit. */
function* packed(items: readonly unknown[], width: number): Generator<string> {
  let row = "";
  for (const [index, item] of items.entries()) {
    const text = compact(item, Number.MAX_SAFE_INTEGER, 0) + (index < items.length - 1 ? "," : "");
    if (row !== "" && row.length + 1 + text.length > width) {
      yield row;
      row = text;
    } else {
      row = row === "" ? text : `${row} ${text}`;
    }
  }
  yield row;
}

/** The whole value on one line, or undefined when it is longer than `width`. Stops measuring once it is. */
function flatText(value: object, width: number): string | undefined {
  const text = compact(value, width + 16, 0);
  return text.length <= width && !text.includes("… ") ? text : undefined;
}

/** Arguments as a call is written: ("cat.png", width = 64). */
export function callText(name: string, given: Arguments | undefined, width: number): string {
  if (given?.large) return `${name}(${size(given.large.bytes)})`;
  const [positional, keywords] = [parsedJson(given?.positional), parsedJson(given?.keywords)];
  const room = Math.max(8, width - name.length - 2);
  const parts = (Array.isArray(positional) ? positional : []).map((item) => inline(item, room));
  if (typeof keywords === "object" && keywords !== null) {
    for (const [key, item] of Object.entries(keywords)) parts.push(`${key} = ${inline(item, room)}`);
  }
  return `${name}(${parts.join(", ")})`;
}
