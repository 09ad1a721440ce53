// ⑧ All that is known of one call, for people and for programs.

import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { callObject, callRow } from "./call-row.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatMs } from "./format/duration.ts";
import { formatMoment } from "./format/time.ts";

interface Family {
  parent: CallInfo | undefined;
  /** Newest first. */
  children: readonly CallInfo[];
}

const longestValue = 4_000; // characters

export function callReport(call: CallInfo, { parent, children }: Family, nowMs: number): string[] {
  const [number, state, name] = callRow(call, nowMs);
  const facts: [string, string | undefined][] = [
    ["call", `${number} ${name}  ${call.id}`],
    ["state", stateText(call, state!, nowMs)],
    ["asked by", parent ? `${nameOf(parent)}  ${call.parent}` : call.parent || call.origin],
    ["queued", formatMoment(call.queuedAtMs, nowMs)],
    ["ran", call.node ? `${call.node}, container ${call.container || "none now"}, code ${call.version.slice(0, 12)}` : undefined],
    ["steps", call.steps.map((step) => `${step.name} ${formatMs(step.ms)}`).join(", ") || undefined],
  ];
  const lines = facts.flatMap(([title, text]) => (text === undefined ? [] : [`${title.padEnd(9)} ${text}`]));
  for (const attempt of call.attempts) {
    const took = formatMs(attempt.endedAtMs - attempt.startedAtMs);
    lines.push(`${"attempt".padEnd(9)} ${attempt.number} ended after ${took} on ${attempt.node}: ${attempt.message}`);
  }
  lines.push("", `input     ${inputText(call)}`);
  if (call.result)
    lines.push(`result    ${call.result.large ? largeText(call.result.large.bytes, call) : shown(call.result.json)}`);
  if (call.failure) lines.push(...failureLines(call));
  if (children.length > 0) lines.push("", "calls that it made, the newest first:");
  for (const child of children) lines.push(`  ${nameOf(child)}  ${child.state}  ${child.id}`);
  return lines;
}

const nameOf = (call: CallInfo): string => `#${call.number} ${call.app}/${call.function}`;

function stateText(call: CallInfo, state: string, nowMs: number): string {
  const total = formatMs((call.finishedAtMs || nowMs) - call.queuedAtMs);
  const attempt = call.attempt > 1 ? `, attempt ${call.attempt}` : "";
  const again = call.againAtMs > nowMs ? `, again in ${Math.ceil((call.againAtMs - nowMs) / 1000)} s` : "";
  return `${state} after ${total}${attempt}${again}`;
}

function inputText({ arguments: given }: CallInfo): string {
  if (!given) return "left out, for it is large";
  if (given.large) return formatBytes(given.large.bytes);
  return `${shown(given.positional)}${given.keywords.length > 0 ? ` ${shown(given.keywords)}` : ""}`;
}

const largeText = (bytes: number, { number }: CallInfo): string => `${formatBytes(bytes)}: hob calls ${number} --result`;

function shown(json: Uint8Array): string {
  const text = Buffer.from(json).toString("utf8");
  return text.length > longestValue ? `${text.slice(0, longestValue)}… (${formatBytes(json.length)})` : text;
}

function failureLines({ failure }: CallInfo): string[] {
  const { kind, type, message, traceback } = failure!;
  const before = traceback ? traceback.trimEnd().split("\n") : [];
  return [...before, `failure   ${kind}: ${type ? `${type}: ` : ""}${message}`];
}

export function callReportObject(call: CallInfo, { children }: Family): Record<string, unknown> {
  const given = call.arguments;
  const input = given?.large
    ? { argumentBytes: given.large.bytes }
    : { arguments: parsed(given?.positional), keywords: parsed(given?.keywords) };
  return { ...callObject(call), ...input, children: children.map(({ id }) => id) };
}

const parsed = (json: Uint8Array | undefined): unknown =>
  json && json.length > 0 ? JSON.parse(Buffer.from(json).toString("utf8")) : null;
