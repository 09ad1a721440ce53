// ⑧ What somebody who looks elsewhere is told: that a long run of theirs has ended, once; and what the terminal's title says. Pure.

import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { duration } from "../units.ts";
import { type CallChange, isFinished, newestFirst, stateOf } from "./calls.ts";
import type { Effect } from "./effects.ts";
import type { State } from "./state.ts";

const marks = { queued: "○", running: "●", succeeded: "✓", failed: "✗", cancelled: "–" } as const;

/** Calls that functions and maps make are their maker's matter. */
const isPersons = ({ parent, origin }: CallInfo): boolean => parent === "" && origin !== "map";

function notify(text: string, failed: boolean): Effect {
  return { kind: "notify", title: failed ? "hob: failed" : "hob: done", text };
}

/** Of calls that have ended just now: those that took long, while the terminal has not the focus. */
export function callNotices(before: State, changes: readonly CallChange[]): Effect[] {
  if (before.focused || before.replay) return [];
  return changes.flatMap(({ call }): Effect[] => {
    const known = before.calls.byId.get(call.id);
    // What the pool only recalls was never seen under way.
    if (!isFinished(call) || !isPersons(call) || !known || isFinished(known.info)) return [];
    const ms = Math.max(0, call.finishedAtMs - call.queuedAtMs);
    if (ms < before.config.notifyAfterMs) return [];
    const state = stateOf(call);
    const outcome = call.failure ? [call.failure.type, call.failure.message].filter((part) => part !== "").join(": ") : state;
    return [notify(`#${call.number} ${call.function} ${marks[state]} ${outcome}, ${duration(ms)}`, state === "failed")];
  });
}

export function mapNotices(before: State, map: MapInfo): Effect[] {
  const known = before.maps.find(({ id }) => id === map.id);
  if (before.focused || before.replay || known?.state !== "running" || map.state === "running") return [];
  const ms = map.finishedAtMs - map.startedAtMs;
  if (ms < before.config.notifyAfterMs) return [];
  const failed = map.state !== "succeeded" || map.failed > 0;
  const left = map.failed > 0 ? `, ${map.failed} inputs failed` : "";
  return [notify(`map #${map.number} ${map.function} ${failed ? "✗" : "✓"} ${map.state}${left}, ${duration(ms)}`, failed)];
}

/** "hob images ✓ embed": the latest run, or that the pool is away. */
export function titleOf({ project, link, calls }: Pick<State, "project" | "link" | "calls">): string {
  const apps = project?.apps.join(", ") ?? "";
  const name = apps === "" ? "hob" : `hob ${apps}`;
  if (link.state !== "live") return `${name} ${link.state === "lost" ? "✗ pool lost" : "◌ connecting"}`;
  const latest = newestFirst(calls).find(({ info }) => isPersons(info))?.info;
  return latest ? `${name} ${marks[stateOf(latest)]} ${latest.function}` : name;
}
