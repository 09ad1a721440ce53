// ⑤ Keeps the warm pools: looks, asks the policy, does what it says, and looks again at every change.

import type { Clock } from "../../base/clock.ts";
import { sentenceOf } from "../../base/errors.ts";
import type { Pool } from "../../proto/gen/hob/v1/agents.ts";
import type { Progress } from "../../proto/gen/hob/v1/calls.ts";
import { type GenericContainer, hushed, kindOf, planWarm, retryAt, type Setback } from "./policy.ts";

/** After a call the node is busy for so long. */
const busyMs = 250;
/** A node that is never anything but busy makes up what it should keep ready so often, one at a time. */
const trickleMs = 15_000;

export interface KeeperHost {
  containers(): GenericContainer[];
  /** Makes one for the reserve. */
  create(pool: Pool): Promise<unknown>;
  /** Starts one of the reserve. */
  start(container: string): Promise<unknown>;
  stop(container: string, reason: string): Promise<void>;
  /** For how many containers with that `gpu` devices are free; without limit where it is "". */
  gpuRoom(gpu: string): number;
  progress(progress: Omit<Progress, "node">): void;
  createsAtOnce: number;
  startsAtOnce: number;
  clock: Clock;
}

export interface Keeper extends Disposable {
  set(pools: Pool[]): void;
  /** Something has changed. */
  look(): void;
  /** A call has come: containers that nobody waits for are made later. */
  called(): void;
  /** While held, nothing is started. */
  hold(held: boolean): void;
}

export function createKeeper(host: KeeperHost): Keeper {
  const setbacks = new Map<string, Setback>();
  const announced = new Map<string, Pool>(); // kinds of which "starting" was the last word
  let surplusSinceMs = new Map<string, number>();
  let pools: Pool[] = [];
  let held = false;
  let looking = false;
  let lookAgain = false;
  let alarm: NodeJS.Timeout | undefined;
  let calledAtMs = Number.NEGATIVE_INFINITY;
  let trickledAtMs = 0; // since when the node has been busy, or its last round while it was

  const ofKind = (kind: string) => host.containers().filter((container) => container.kind === kind);

  function report(pool: Pool, phase: "starting" | "ready" | "failed", message = ""): void {
    const kind = kindOf(pool.image, pool.resourceClass);
    const done = ofKind(kind).filter(({ state }) => state === "warm").length;
    if (phase === "starting") announced.set(kind, pool);
    else announced.delete(kind);
    host.progress({
      what: `containers ${pool.resourceClass?.language ?? ""}`,
      phase,
      done,
      total: pool.warm,
      unit: "containers",
      message,
      image: pool.image,
    });
  }

  const wishFor = (kind: string) => pools.find((pool) => kindOf(pool.image, pool.resourceClass) === kind);

  /** Making and starting: after a failure of either the kind has its pause. */
  async function attempt(kind: string, pool: Pool, step: () => Promise<unknown>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (held) return; // the hold ended it
      const setback = { failures: (setbacks.get(kind)?.failures ?? 0) + 1, atMs: host.clock.now() };
      setbacks.set(kind, setback);
      const pause = Math.round(retryAt(setback) - setback.atMs) / 1000;
      report(pool, "failed", `${sentenceOf(error)} (next try in ${pause} s)`);
    }
    look();
  }

  async function start(container: GenericContainer): Promise<void> {
    const { id, kind } = container;
    const pool = wishFor(kind);
    if (!pool) return;
    await attempt(kind, pool, async () => {
      await host.start(id);
      setbacks.delete(kind); // that it could be made is not enough
      report(wishFor(kind) ?? pool, "starting");
    });
  }

  /** Something of that kind is still on its way to the warm pool. */
  function comes(kind: string): boolean {
    const have = ofKind(kind);
    const lacks = have.filter(({ state }) => state === "warm").length < (wishFor(kind)?.warm ?? 0);
    return have.some(({ state }) => state === "starting" || (lacks && state !== "warm"));
  }

  /** Carrying a plan out changes what it was made from, and whoever changes that looks again: after this plan, never within it. */
  function look(): void {
    lookAgain = true;
    if (looking) return;
    looking = true;
    while (lookAgain) {
      lookAgain = false;
      carryOut();
    }
    looking = false;
  }

  /** Control wishes for what it believes free; one that was just taken to be an app's still has its device, which another would wait for. */
  function within(pool: Pool): Pool {
    const gpu = pool.resourceClass?.gpu ?? "";
    if (gpu === "") return pool;
    return { ...pool, warm: Math.min(pool.warm, ofKind(kindOf(pool.image, pool.resourceClass)).length + host.gpuRoom(gpu)) };
  }

  function carryOut(): void {
    clearTimeout(alarm);
    if (held) return;
    const nowMs = host.clock.now();
    const containers = host.containers();
    const busyUntilMs = calledAtMs + busyMs;
    const until = Math.min(busyUntilMs, trickledAtMs + trickleMs);
    const hush = until > nowMs;
    const trickle = !hush && busyUntilMs > nowMs;
    const createsAtOnce = trickle ? 1 : host.createsAtOnce;
    const startsAtOnce = trickle ? 1 : host.startsAtOnce;
    const wishes = pools.map(within);
    const plan = planWarm({
      ...{ pools: hush ? wishes.map((pool) => hushed(pool, containers)) : wishes, containers, setbacks, surplusSinceMs },
      ...{ createsAtOnce, startsAtOnce, nowMs },
    });
    if (hush) plan.again = Math.min(plan.again ?? until, until);
    else trickledAtMs = nowMs;
    surplusSinceMs = new Map(plan.surplus.map((kind) => [kind, surplusSinceMs.get(kind) ?? nowMs]));
    for (const id of plan.stop) void host.stop(id, "the warm pool has more than it should");
    const begun = new Set(plan.start);
    for (const container of containers) if (begun.has(container.id)) void start(container);
    for (const pool of plan.create) void attempt(kindOf(pool.image, pool.resourceClass), pool, () => host.create(pool));
    for (const [kind, pool] of announced) {
      // The wish may have changed since: what matters is that nothing is on its way any more.
      if (!comes(kind)) report(wishFor(kind) ?? { ...pool, warm: 0 }, "ready");
    }
    if (plan.again !== undefined) alarm = setTimeout(look, plan.again - nowMs + 1);
  }

  return {
    set(wished) {
      pools = wished;
      look();
    },
    look,
    called() {
      const nowMs = host.clock.now();
      if (nowMs - calledAtMs > busyMs) trickledAtMs = nowMs;
      calledAtMs = nowMs;
    },
    hold(hold) {
      held = hold;
      look();
    },
    [Symbol.dispose]() {
      held = true;
      clearTimeout(alarm);
    },
  };
}
