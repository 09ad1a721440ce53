// ⑧ The workbench as JSON lines: one object for each thing that happens, with names that stay (docs/cli.md).

import type { Receipt, Tier, Workbench } from "../project/events.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { Failure, LogLine } from "../proto/gen/hob/v1/common.ts";
import type { ImageBuild } from "../proto/gen/hob/v1/images.ts";
import { buildPlace, imageLabel } from "../proto/image.ts";
import { runMs } from "./model/calls.ts";
import { parsedJson } from "./model/state.ts";
import { type News, type PrintOptions, printNews } from "./news.ts";

/** Prints until the workbench's events end. */
export async function runJson(workbench: Workbench, options: PrintOptions): Promise<void> {
  await printNews(workbench, options, (item) => jsonObjects(item).map((object) => JSON.stringify(object)));
}

type JsonEvent = { event: "ready" | "reload" | "log" | "call" | "map" | "image" | "error" } & Record<string, unknown>;

export function jsonObjects(item: News): JsonEvent[] {
  switch (item.kind) {
    case "ready":
      return [
        {
          event: "ready",
          app: item.apps[0] ?? null,
          apps: item.apps,
          functions: item.functions,
          urls: item.urls,
          ms: rounded(item.ms),
        },
      ];
    case "reload":
      return [reloadObject(item.receipt)];
    case "finished":
      return [callObject(item.call, item.saveToResultMs)];
    case "logs":
      return item.lines.map(logObject);
    case "map": {
      const { id, number, app, function: name, state, inputs, succeeded, failed } = item.map;
      return [{ event: "map", map: id, number, app, function: name, state, inputs, succeeded, failed }];
    }
    case "diagnostics":
      return item.diagnostics.map((diagnostic) => ({ event: "error", kind: "diagnostic", ...diagnostic }));
    case "link":
      return item.state === "lost" ? [{ event: "error", kind: "link", message: item.detail, sinceMs: item.sinceMs }] : [];
    case "progress":
      return item.phase === "failed" ? [{ event: "error", kind: "progress", what: item.what, message: item.message }] : [];
    case "image":
      return item.fresh || item.build.lines.length > 0 ? [buildObject(item.build)] : [];
    case "notice":
      return item.level === "error" ? [{ event: "error", kind: "notice", message: item.text }] : [];
    case "paused":
      return [];
    default:
      return item satisfies never;
  }
}

function buildObject({ key, image, state, node, step, lines, digest, failure }: ImageBuild): JsonEvent {
  const doing = image ? buildPlace(image, step) : "";
  const steps = image?.steps.length ?? 0;
  return {
    ...{ event: "image", image: image ? imageLabel(image) : "", key, state, node, step, steps, doing },
    ...{ lines: lines.map(({ text }) => text), digest: digest || null },
    ...failureOf(failure),
  };
}

/** Microseconds are enough, and keep a line short. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

const costliestFirst: readonly Tier[] = ["container", "fork", "patch"];

function reloadObject(receipt: Receipt): JsonEvent {
  const { changes, removed, files, bytesShipped, ms, snapshot, nothing, failure } = receipt;
  const reasons = new Set(changes.map(({ reason }) => reason));
  return {
    event: "reload",
    ok: receipt.state !== "failed",
    functions: changes.map((change) => change.function),
    removed,
    files,
    reason: nothing ?? [...reasons].join("; "),
    tier: costliestFirst.find((tier) => changes.some((change) => change.tier === tier)) ?? null,
    changes,
    bytesShipped,
    snapshot,
    ms: Object.fromEntries(Object.entries(ms).map(([name, value]) => [name, rounded(value)])),
    ...failureOf(failure),
  };
}

function callObject(call: CallInfo, saveToResultMs: number | undefined): JsonEvent {
  const stepMs = (name: string): number | undefined => call.steps.find((step) => step.name === name)?.ms;
  const times = {
    queue: stepMs("queue"),
    load: stepMs("load"),
    run: runMs(call),
    total: call.finishedAtMs > 0 ? call.finishedAtMs - call.queuedAtMs : undefined,
    saveToResult: saveToResultMs,
  };
  const known = Object.entries(times).flatMap(([name, ms]) => (ms === undefined ? [] : [[name, rounded(ms)] as const]));
  return {
    event: "call",
    id: call.id,
    number: call.number,
    app: call.app,
    function: call.function,
    ok: call.state === "succeeded",
    state: call.state,
    ...(call.result?.large
      ? { valueBytes: call.result.large.bytes }
      : call.result
        ? { value: parsedJson(call.result.json) }
        : {}),
    version: call.version,
    container: call.container,
    node: call.node,
    attempt: call.attempt,
    origin: call.origin,
    ms: Object.fromEntries(known),
    ...failureOf(call.failure),
  };
}

function failureOf(failure: Failure | undefined): { failure?: Omit<Failure, "frames"> } {
  if (!failure) return {};
  const { kind, type, message, traceback } = failure;
  return { failure: { kind, type, message, traceback } };
}

function logObject({ call, app, function: name, container, stream, timeMs, text, dropped }: LogLine): JsonEvent {
  return { event: "log", call, app, function: name, container, stream, timeMs, text, ...(dropped > 0 ? { dropped } : {}) };
}
