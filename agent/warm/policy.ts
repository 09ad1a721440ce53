// ⑤ How many generic containers to make, start or end so that warm pool and reserve are as control wishes. Pure.

import type { Pool } from "../../proto/gen/hob/v1/agents.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";

/** Names a kind of container: those of one kind can stand in for each other. */
export function kindOf(image: string, resourceClass: ResourceClass | undefined): string {
  const { language = "", cpu = 0, memoryBytes = 0, network = "", gpu = "" } = resourceClass ?? {};
  return [image, language, cpu, memoryBytes, network || "internet", gpu].join(" ");
}

const genericStates = ["creating", "created", "starting", "warm"] as const;
type GenericState = (typeof genericStates)[number];

export const isGeneric = (state: string): state is GenericState => (genericStates as readonly string[]).includes(state);

export interface GenericContainer {
  id: string;
  kind: string;
  state: GenericState;
}

export interface Setback {
  failures: number; // in a row
  atMs: number;
}

export interface WarmSnapshot {
  pools: Pool[];
  containers: GenericContainer[];
  setbacks: ReadonlyMap<string, Setback>;
  /** Since when there have been more warm ones of a kind than wished. */
  surplusSinceMs: ReadonlyMap<string, number>;
  createsAtOnce: number;
  startsAtOnce: number;
  nowMs: number;
}

export interface WarmPlan {
  create: Pool[];
  /** Of the reserve. */
  start: string[];
  stop: string[];
  /** Kinds of which there are more warm ones than wished. */
  surplus: string[];
  /** When to plan again although nothing has changed: a pause after failures is over, or a surplus is old enough. */
  again?: number;
}

const firstPauseMs = 250;
const longestPauseMs = 30_000;
/** A call may be on its way to a warm container that is one too many here: control's next wish, or the call, comes before this is over. */
const settleMs = 1_000;

/** While a node is busy with calls: of what it is to keep ready only what calls wait for, what is there already, and one of each kind. */
export function hushed(pool: Pool, containers: readonly GenericContainer[]): Pool {
  const kind = kindOf(pool.image, pool.resourceClass);
  const count = (...states: GenericState[]): number =>
    containers.filter((one) => one.kind === kind && states.includes(one.state)).length;
  const ready = count("warm", "starting");
  const warm = Math.min(pool.warm, Math.max(1, ready, pool.wanted));
  const made = count("created", "creating");
  const lack = Math.max(0, pool.warm - ready);
  const ended = Math.min(Math.max(0, made - lack - pool.reserve), Math.max(0, count("created") - lack)); // on a calm node too
  return { ...pool, warm, reserve: Math.max(0, made - ended - Math.max(0, warm - ready)) };
}

/** When a kind that failed may be tried again. */
export function retryAt({ failures, atMs }: Setback): number {
  return atMs + Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
}

/**
 * What the warm pool lacks is started from the reserve, what the reserve cannot give is made first, one of each kind in turn, at most
 * `startsAtOnce` and `createsAtOnce` at a time. The reserve itself is made up only while nothing starts: who waits for a start has the processors.
 * What is too much is ended, the newest first, a warm one only when that has been so for a while; what is being made or started is let finish, and ended then if it is still too much.
 */
export function planWarm(snapshot: WarmSnapshot): WarmPlan {
  const { pools, containers, setbacks, createsAtOnce, startsAtOnce, nowMs } = snapshot;
  const present = Map.groupBy(containers, ({ kind }) => kind);
  const plan: WarmPlan = { create: [], start: [], stop: [], surplus: [] };
  const endWarm = (kind: string, warm: string[], count: number): void => {
    if (count <= 0 || warm.length === 0) return;
    plan.surplus.push(kind);
    const due = (snapshot.surplusSinceMs.get(kind) ?? nowMs) + settleMs;
    if (due > nowMs) plan.again = Math.min(plan.again ?? due, due);
    else plan.stop.push(...newest(warm, count));
  };
  const startable: Lack<string>[] = [];
  const urgent: Lack<Pool>[] = [];
  const spare: Lack<Pool>[] = [];
  const wished = new Set<string>();
  for (const pool of pools) {
    const kind = kindOf(pool.image, pool.resourceClass);
    if (wished.has(kind)) continue;
    wished.add(kind);
    const have = present.get(kind) ?? [];
    const of = (state: GenericState): string[] => have.filter((container) => container.state === state).map(({ id }) => id);
    const [creating, created, warm] = [of("creating"), of("created"), of("warm")];
    const lack = pool.warm - warm.length - of("starting").length;
    endWarm(kind, warm, -lack);
    const setback = setbacks.get(kind);
    const due = setback ? retryAt(setback) : nowMs;
    const begun = due > nowMs ? [] : created.slice(0, Math.max(lack, 0)); // now, or in its turn
    startable.push({ of: (index) => begun[index] as string, count: begun.length });
    const unstarted = Math.max(lack, 0) + pool.reserve - created.length - creating.length; // that are to be made
    if (unstarted < 0) plan.stop.push(...newest(created.slice(begun.length), -unstarted));
    if (due > nowMs) {
      if (unstarted > 0 || lack > 0) plan.again = Math.min(plan.again ?? due, due);
      continue;
    }
    const forWarm = Math.max(0, lack - created.length - creating.length);
    urgent.push({ of: () => pool, count: forWarm });
    spare.push({ of: () => pool, count: Math.max(0, unstarted - forWarm) });
  }
  for (const [kind, have] of present) {
    if (wished.has(kind)) continue;
    const of = (state: GenericState): string[] => have.filter((one) => one.state === state).map(({ id }) => id);
    plan.stop.push(...of("created"));
    endWarm(kind, of("warm"), have.length);
  }
  const under = (state: GenericState): number => containers.filter((container) => container.state === state).length;
  plan.start.push(...inTurn(startable, startsAtOnce - under("starting")));
  const room = createsAtOnce - under("creating");
  plan.create.push(...inTurn(urgent, room));
  if (plan.start.length + under("starting") === 0) plan.create.push(...inTurn(spare, room - plan.create.length));
  return plan;
}

interface Lack<T> {
  of(index: number): T;
  count: number;
}

const newest = (ids: string[], count: number): string[] => ids.slice(-Math.min(count, ids.length) || ids.length);

function inTurn<T>(lacks: Lack<T>[], most: number): T[] {
  const taken: T[] = [];
  for (let round = 0; lacks.some(({ count }) => count > round); round++) {
    for (const { of, count } of lacks) if (count > round && taken.length < most) taken.push(of(round));
    if (taken.length >= most) break;
  }
  return taken;
}
