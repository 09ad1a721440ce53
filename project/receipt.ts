// ③ What a save caused and what each step cost, put together as the steps happen. Pure.

import type { Failure, Step } from "../proto/gen/hob/v1/common.ts";
import type { Reloaded } from "../proto/gen/hob/v1/registry.ts";
import type { Changes } from "./describe/changes.ts";
import type { Receipt, Tier } from "./events.ts";
import type { ProjectChange } from "./watch.ts";

/** A receipt once the save has been described. */
export function describedReceipt(id: number, change: ProjectChange, changes: Changes, describedAtMs: number): Receipt {
  const { savedAtMs, noticedAtMs } = change;
  return {
    id,
    state: "described",
    files: [...change.changed.map((file) => file.entry.path), ...change.removed],
    changes: changes.changes.map(({ after, tier, reason }) => ({ function: after.spec.name, tier, reason })),
    removed: changes.removed.map((described) => described.spec.name),
    snapshot: change.snapshot.digest,
    bytesShipped: 0,
    ms: { watch: noticedAtMs - savedAtMs, describe: describedAtMs - noticedAtMs, total: describedAtMs - savedAtMs },
    savedAtMs,
    ...(changes.nothing !== undefined && { nothing: changes.nothing }),
  };
}

/** Control has recorded the new versions; with several apps, the last one's answer counts. */
export function shipped(receipt: Receipt, sentAtMs: number, nowMs: number, bytes: number): Receipt {
  return {
    ...receipt,
    state: receipt.state === "described" ? "shipped" : receipt.state,
    bytesShipped: receipt.bytesShipped + bytes,
    ms: {
      ...receipt.ms,
      ship: receipt.ms.load === undefined ? nowMs - sentAtMs : (receipt.ms.ship ?? 0),
      total: later(receipt, nowMs),
    },
  };
}

/** The code is in place. `ship` is then all that lay between the message's leaving and the load: control, placing, the way to the node. */
export function loaded(receipt: Receipt, sentAtMs: number, reloaded: Reloaded, nowMs: number): Receipt {
  const load = Math.max(receipt.ms.load ?? 0, reloaded.loadMs);
  return {
    ...receipt,
    changes: receipt.changes.map((change) =>
      reloaded.functions.includes(change.function) ? carriedOut(change, reloaded) : change,
    ),
    state: receipt.state === "failed" ? "failed" : "loaded",
    ms: { ...receipt.ms, ship: Math.max(0, nowMs - sentAtMs - load), load, total: later(receipt, nowMs) },
  };
}

const tiers: readonly string[] = ["patch", "fork", "container"] satisfies Tier[];

/** The tier as it was carried out, and why where it is not the one that was asked for, or a patch that keeps more than was asked for. */
function carriedOut(change: Receipt["changes"][number], { tier, reason }: Reloaded): Receipt["changes"][number] {
  if ((tier === change.tier && tier !== "patch") || !tiers.includes(tier)) return change;
  return { ...change, tier: tier as Tier, reason: reason ? `${change.reason}; ${reason}` : change.reason };
}

export function failed(receipt: Receipt, failure: Failure, nowMs: number): Receipt {
  return { ...receipt, state: "failed", failure, ms: { ...receipt.ms, total: later(receipt, nowMs) } };
}

/** A call that was made with the new version has ended. */
export function ran(receipt: Receipt, steps: readonly Step[], nowMs: number): Receipt {
  const took = (name: string): number | undefined => steps.find((step) => step.name === name)?.ms;
  const load = took("load");
  const run = took("run");
  return {
    ...receipt,
    state: receipt.state === "failed" ? "failed" : "loaded",
    ms: {
      ...receipt.ms,
      ...(load !== undefined && receipt.ms.load === undefined && { load }),
      ...(run !== undefined && { run: Math.max(receipt.ms.run ?? 0, run) }),
      total: later(receipt, nowMs),
    },
  };
}

const later = (receipt: Receipt, nowMs: number): number => Math.max(receipt.ms.total ?? 0, nowMs - receipt.savedAtMs);
