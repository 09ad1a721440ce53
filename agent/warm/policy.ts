// ⑤ How many generic containers to start or end so that the pools are as control wishes. Pure.

import type { Pool } from "../../proto/gen/hob/v1/agents.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";

/** Names a kind of container: those of one kind can stand in for each other. */
export function kindOf(image: string, resourceClass: ResourceClass | undefined): string {
  const { language = "", cpu = 0, memoryBytes = 0, network = "", gpu = "" } = resourceClass ?? {};
  return [image, language, cpu, memoryBytes, network || "internet", gpu].join(" ");
}

export interface GenericContainer {
  id: string;
  kind: string;
  state: "starting" | "warm";
}

export interface Setback {
  failures: number; // in a row
  atMs: number;
}

export interface WarmSnapshot {
  pools: Pool[];
  containers: GenericContainer[];
  setbacks: ReadonlyMap<string, Setback>;
  startsAtOnce: number;
  nowMs: number;
}

export interface WarmPlan {
  start: Pool[];
  stop: string[];
  /** When to plan again although nothing has changed: a kind's pause after failures is over. */
  again?: number;
}

const firstPauseMs = 250;
const longestPauseMs = 30_000;

/** When a kind that failed may be tried again. */
export function retryAt({ failures, atMs }: Setback): number {
  return atMs + Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
}

/**
 * Starts what lacks, one of each kind in turn, at most `startsAtOnce` at a time; ends what is too much, of the warm ones the newest first.
 * A container that is starting is let finish, and ended then if it is still too much.
 */
export function planWarm({ pools, containers, setbacks, startsAtOnce, nowMs }: WarmSnapshot): WarmPlan {
  const present = Map.groupBy(containers, ({ kind }) => kind);
  const plan: WarmPlan = { start: [], stop: [] };
  const lacking: { pool: Pool; count: number }[] = [];
  const wished = new Set<string>();
  for (const pool of pools) {
    const kind = kindOf(pool.image, pool.resourceClass);
    if (wished.has(kind)) continue;
    wished.add(kind);
    const have = present.get(kind) ?? [];
    const surplus = have.length - pool.warm;
    const warm = have.filter(({ state }) => state === "warm");
    if (surplus > 0) plan.stop.push(...warm.slice(-Math.min(surplus, warm.length)).map(({ id }) => id));
    if (surplus >= 0) continue;
    const setback = setbacks.get(kind);
    const due = setback ? retryAt(setback) : nowMs;
    if (due > nowMs) plan.again = Math.min(plan.again ?? due, due);
    else lacking.push({ pool, count: -surplus });
  }
  for (const [kind, have] of present) {
    if (!wished.has(kind)) plan.stop.push(...have.filter(({ state }) => state === "warm").map(({ id }) => id));
  }
  let room = startsAtOnce - containers.filter(({ state }) => state === "starting").length;
  while (room > 0 && lacking.some(({ count }) => count > 0)) {
    for (const entry of lacking) {
      if (entry.count === 0 || room <= 0) continue;
      plan.start.push(entry.pool);
      entry.count -= 1;
      room -= 1;
    }
  }
  return plan;
}
