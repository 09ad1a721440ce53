// ⑥ A load from control's message to the runner's answer: what the runner lacks of it, in which order it goes, and what came of it.

import { HobError, sentenceOf } from "../base/errors.ts";
import type { Load } from "../proto/gen/hob/v1/agents.ts";
import type { Failure } from "../proto/gen/hob/v1/common.ts";
import type { DispatchHost } from "./dispatch.ts";
import { failure } from "./failures.ts";
import { explainIn, gone, type Hurts, hurtsBefore, type Inside } from "./inside.ts";
import { keepOf, type Runner } from "./runner/runner.ts";
import type { Shown } from "./shown.ts";
import { differenceFor, neededBlobs, type SnapshotLists, toldKept } from "./snapshots.ts";

/** What nobody waits for is done once the call that came with a load has most likely been answered. */
const quietMs = 20;

interface BegunLoad {
  /** The runner has the load before it: a call sent now waits there for it. False when it could not be sent. */
  sent: Promise<boolean>;
  done: Promise<{ ms: number; failure: Failure | undefined }>;
  /** As it began; undefined where the container is gone. */
  before: Hurts | undefined;
}

interface LoadsHost extends Pick<DispatchHost, "content" | "send" | "clock"> {
  insides: ReadonlyMap<string, Inside>;
  lists: SnapshotLists;
  shown: Shown;
  /** For what may wait for a call's result. */
  sendStep: DispatchHost["send"];
  /** Output goes before the answer that it came before. */
  flushLines(): void;
}

export interface Loads {
  /** `called`: a call comes with it or right behind it, whose result people wait for. */
  begin(load: Load, called: boolean): BegunLoad;
  /** One of that snapshot which has not been answered yet. */
  underWay(inside: Inside, snapshot: string): BegunLoad | undefined;
}

export function createLoads(host: LoadsHost): Loads {
  const { insides, content, lists, shown, clock } = host;
  const latest = new WeakMap<Inside, { snapshot: string; load: BegunLoad }>();

  const isIn = (inside: Inside, snapshot: string): boolean =>
    insides.get(inside.container.id) === inside && (inside.loading.has(snapshot) || inside.snapshots.includes(snapshot));

  /** Resolves once the load is on its way to the runner, with the answer to come. */
  async function sendLoad(inside: Inside, load: Load): Promise<{ answer: ReturnType<Runner["load"]> }> {
    const { container, told } = inside;
    const delta = load.snapshot;
    if (!delta) throw new HobError("internal", `load ${load.id}: it names no snapshot`);
    for (const version of load.versions) inside.functions.add(version.function);
    inside.draining.hooks ||= load.versions.some(({ spec }) => spec?.className);
    content.keep(delta.blobs);
    content.keep(load.bundles);
    const files = await lists.resolve(delta);
    const difference = differenceFor((snapshot) => told.some(({ digest }) => digest === snapshot), delta, files);
    const needed = neededBlobs(container.resourceClass.language, difference, [...load.versions, ...load.patches], told);
    const data = await content.get(needed);
    inside.told = [...told.filter(({ digest }) => digest !== delta.digest), { digest: delta.digest, files }].slice(-toldKept);
    const answer = container.runner.load({
      app: load.app,
      snapshot: delta.digest,
      base: difference.base,
      changed: difference.changed.map(({ path, digest }) => ({ path, digest })),
      removed: difference.removed,
      blobs: needed.map((digest, index) => ({ digest, data: data[index] ?? new Uint8Array() })),
      versions: load.versions.map(({ function: name, digest, bundle, spec, keepsState }) => ({
        ...{ function: name, digest, bundle, keepsState },
        module: spec?.module ?? "",
        qualname: spec?.qualname ?? "",
        className: spec?.className ?? "",
        concurrency: spec?.concurrency || 1,
        secrets: spec?.secrets ?? [],
      })),
      patches: load.patches.map((patch) => ({ ...patch, keep: keepOf(patch.keep) })),
      secrets: load.secrets,
      retire: [...load.retire, ...inside.failed.filter((snapshot) => snapshot !== delta.digest)],
    });
    inside.failed = [];
    // Whoever looks for them before they are there waits for them in the FUSE daemon. A Python process that is only patched does not look: it stays
    // in the folder that it was loaded in. A TypeScript process goes to the new one.
    if (load.patches.length > 0 && container.resourceClass.language === "python") {
      setTimeout(() => isIn(inside, delta.digest) && shown.show(container, delta, files), quietMs);
    } else shown.show(container, delta, files);
    return { answer };
  }

  /** At once: the next message may be a smaller wish for warm containers, and this is none any more. Says why it cannot be, or "". */
  function claim(inside: Inside | undefined, load: Load): string {
    if (!inside || inside.draining.begun) return gone(load.container);
    try {
      inside.container.specialise(load.app);
      return "";
    } catch (error) {
      return sentenceOf(error);
    }
  }

  /** Loads go to one container's runner in order, for each may build on the one before; none waits for another to be done. */
  function begin(load: Load, called: boolean): BegunLoad {
    const beganAtMs = clock.now();
    const inside = insides.get(load.container);
    const refusal = claim(inside, load);
    if (!inside || refusal) {
      return {
        sent: Promise.resolve(false),
        done: Promise.resolve(endLoad(load, beganAtMs, failure("infrastructure", refusal))),
        before: undefined,
      };
    }
    const before = hurtsBefore(inside);
    const snapshot = load.snapshot?.digest ?? "";
    inside.loading.set(snapshot, (inside.loading.get(snapshot) ?? 0) + 1);
    const sending = inside.sending.then(() => sendLoad(inside, load));
    const sent = sending.then(
      () => true,
      () => false, // `done` tells why
    );
    inside.sending = sent.then(() => {});
    const done = awaitLoad(inside, load, { beganAtMs, before, sending, called }).finally(() => {
      const left = (inside.loading.get(snapshot) ?? 1) - 1;
      if (left > 0) inside.loading.set(snapshot, left);
      else inside.loading.delete(snapshot);
    });
    const begun = { sent, done, before };
    latest.set(inside, { snapshot, load: begun });
    return begun;
  }

  async function awaitLoad(
    inside: Inside,
    load: Load,
    {
      beganAtMs,
      before,
      sending,
      called,
    }: { beganAtMs: number; before: Hurts; sending: ReturnType<typeof sendLoad>; called: boolean },
  ): BegunLoad["done"] {
    const snapshot = load.snapshot?.digest ?? "";
    let how = { tier: "fork", reason: "" };
    try {
      const { failure: seen, tier, reason } = await (await sending).answer;
      how = { tier: load.tier === "container" ? load.tier : tier, reason };
      if (seen) {
        if (!inside.snapshots.includes(snapshot)) inside.failed.push(snapshot);
        return endLoad(load, beganAtMs, explainIn(inside, seen, before));
      }
    } catch (error) {
      return endLoad(load, beganAtMs, failure("infrastructure", sentenceOf(error)));
    }
    inside.snapshots = [...inside.snapshots.filter((known) => known !== snapshot && !load.retire.includes(known)), snapshot];
    return endLoad(load, beganAtMs, undefined, { ...how, called });
  }

  function endLoad(
    load: Load,
    beganAtMs: number,
    failed: Failure | undefined,
    { called, ...how }: { tier: string; reason: string; called?: boolean } = { tier: load.tier, reason: "" },
  ): Awaited<BegunLoad["done"]> {
    const ms = clock.now() - beganAtMs;
    host.flushLines();
    const { id, container, snapshot } = load;
    const send = called ? host.sendStep : host.send;
    send({ $case: "loaded", value: { load: id, container, snapshot: snapshot?.digest ?? "", ms, failure: failed, ...how } });
    return { ms, failure: failed };
  }

  function underWay(inside: Inside, snapshot: string): BegunLoad | undefined {
    const known = latest.get(inside);
    return known?.snapshot === snapshot && inside.loading.has(snapshot) ? known.load : undefined;
  }

  return { begin, underWay };
}
