// ⑧ What is worth a line where there is no screen: each reload once it is answered, each outcome once, "ready" once.

import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Receipt, Workbench, WorkbenchEvent } from "../project/events.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { ImageBuild } from "../proto/gen/hob/v1/images.ts";
import { isFinished } from "./model/calls.ts";
import { containersOf } from "./model/fleet.ts";

type EventOf<K extends WorkbenchEvent["kind"]> = Extract<WorkbenchEvent, { kind: K }>;

export type News =
  /** `urls`: of those that are endpoints. */
  | { kind: "ready"; apps: string[]; functions: string[]; urls: string[]; ms: number }
  | { kind: "reload"; receipt: Receipt }
  | { kind: "finished"; call: CallInfo; saveToResultMs: number | undefined }
  | (EventOf<"image"> & { /** Its state or its step is another than before. */ fresh: boolean })
  | EventOf<"link" | "diagnostics" | "map" | "logs" | "progress" | "notice" | "paused">;

/** What one printer has heard so far; news() keeps it. */
export interface Heard {
  readonly startedAtMs: number;
  link: EventOf<"link"> | undefined;
  project: EventOf<"project"> | undefined;
  /** The first reload has been answered, or a container waits in each of the project's languages. */
  loaded: boolean;
  ready: boolean;
  readonly answered: Set<number>; // receipts
  readonly unfinished: Set<string>; // calls
  readonly phases: Map<string, string>; // of long work
  readonly builds: Map<string, string>; // by key: state and step
}

export function nothingHeard(startedAtMs: number): Heard {
  return {
    startedAtMs,
    link: undefined,
    project: undefined,
    loaded: false,
    ready: false,
    answered: new Set(),
    unfinished: new Set(),
    phases: new Map(),
    builds: new Map(),
  };
}

/** What an event adds to what was heard; often nothing. */
export function news(event: WorkbenchEvent, heard: Heard, nowMs: number): News[] {
  const found = told(event, heard);
  const { link, project } = heard;
  if (heard.ready || link?.state !== "live" || !project || !(heard.loaded || project.functions.length === 0)) return found;
  heard.ready = true;
  const functions = project.functions.map(({ spec }) => spec.name);
  const urls = project.functions.flatMap(({ url }) => url ?? []);
  return [...found, { kind: "ready", apps: project.apps, functions, urls, ms: nowMs - heard.startedAtMs }];
}

function told(event: WorkbenchEvent, heard: Heard): News[] {
  switch (event.kind) {
    case "link": {
      const same = heard.link?.state === event.state && heard.link.detail === event.detail;
      heard.link = event;
      return same ? [] : [event];
    }
    case "project":
      heard.project = event;
      return [];
    case "receipt":
      return reload(event.receipt, heard);
    case "call":
      return outcome(event, heard);
    case "fleet":
      heard.loaded ||= isWarm(event, heard.project);
      return [];
    case "progress": {
      const same = heard.phases.get(event.what) === event.phase;
      heard.phases.set(event.what, event.phase);
      return same ? [] : [event];
    }
    case "map": // at its end: what runs is a line of the screen
      return event.map.finishedAtMs > heard.startedAtMs && event.map.state !== "running" ? [event] : [];
    case "image":
      return [{ ...event, fresh: isFresh(event.build, heard) }];
    case "diagnostics":
    case "logs":
    case "notice":
    case "paused":
      return [event];
    default:
      return event satisfies never;
  }
}

function reload(receipt: Receipt, heard: Heard): News[] {
  const done = receipt.state === "loaded" || receipt.state === "failed" || receipt.nothing !== undefined;
  if (!done || heard.answered.has(receipt.id)) return [];
  heard.answered.add(receipt.id);
  heard.loaded = true;
  return [{ kind: "reload", receipt }];
}

function isFresh({ key, state, step }: ImageBuild, { builds }: Heard): boolean {
  const now = `${state} ${step}`;
  const fresh = builds.get(key) !== now;
  builds.set(key, now);
  return fresh;
}

/** An outcome that the pool only recalls (it is older than this printer, and was never seen under way) is no news. */
function outcome({ call, saveToResultMs }: EventOf<"call">, heard: Heard): News[] {
  if (!isFinished(call)) {
    heard.unfinished.add(call.id);
    return [];
  }
  const followed = heard.unfinished.delete(call.id);
  if (!followed && saveToResultMs === undefined && call.finishedAtMs < heard.startedAtMs) return [];
  return [{ kind: "finished", call, saveToResultMs }];
}

function isWarm({ sample }: EventOf<"fleet">, project: EventOf<"project"> | undefined): boolean {
  if (!project) return false;
  const waiting = new Set<string>();
  for (const { state, resourceClass } of containersOf(sample)) {
    if (state === "warm" || state === "specialised") waiting.add(resourceClass?.language ?? "");
  }
  return project.functions.every(({ spec }) => waiting.has(spec.language));
}

export interface PrintOptions {
  out: Writable;
  nowMs(): number;
}

/** Prints the lines that `render` makes, until the workbench's events end; waits where the reader is slower. What is said in one go is one write. */
export async function printNews(workbench: Workbench, options: PrintOptions, render: (item: News) => string[]): Promise<void> {
  const { out, nowMs } = options;
  const heard = nothingHeard(nowMs());
  const uncork = (): void => out.uncork();
  for await (const event of workbench.events) {
    for (const line of news(event, heard, nowMs()).flatMap(render)) {
      if (out.writableCorked === 0) {
        out.cork();
        process.nextTick(uncork); // once the events that are there have been taken
      }
      if (!out.write(`${line}\n`)) await once(out, "drain");
    }
  }
}
