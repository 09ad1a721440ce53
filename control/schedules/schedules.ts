// ④ Schedules of live deployments: each firing becomes a call, in the transaction that also records that it was made.

import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import { deploymentName, isDeployment } from "../../proto/app-name.ts";
import { Arguments, Schedule } from "../../proto/gen/hob/v1/common.ts";
import { Firing, ScheduleInfo, ScheduleState } from "../../proto/gen/hob/v1/schedules.ts";
import { firingAfter } from "../../proto/schedule.ts";
import type { Calls } from "../calls.ts";
import type { DeploymentRecords } from "../deployments/records.ts";
import type { Records } from "../engine/engine.ts";
import type { Registry } from "../registry.ts";
import type { Turn } from "../turn.ts";
import { dueFirings } from "./firings.ts";

const firingsKept = 50; // schedules.proto, ScheduleInfo
const longestSleepMs = 60_000; // the clock may be set
const againMs = 1_000; // after a firing that could not be made
const kind = "schedule";

export interface Schedules extends Disposable {
  /** Another deployment of the app is live, or none. */
  changed(app: string): void;
  list(app: string, name: string): ScheduleInfo[];
  /** Answers the call's id. */
  run(app: string, name: string): string;
  /** Answers when it fires next; 0 for never. */
  pause(app: string, name: string, paused: boolean): number;
}

interface SchedulesParts {
  records: Records;
  deployments: DeploymentRecords;
  registry: Pick<Registry, "apps" | "current">;
  calls: Pick<Calls, "start" | "find">;
  turn: Pick<Turn, "stuck" | "wake">;
  clock: Clock;
}

interface Entry {
  app: string;
  name: string;
  deployment: number;
  state: ScheduleState;
  nextMs: number;
}

const keyOf = (app: string, name: string): string => `${app}\n${name}`;
const same = (a: Schedule | undefined, b: Schedule): boolean =>
  a !== undefined && Buffer.from(Schedule.encode(a).finish()).equals(Schedule.encode(b).finish());

/** The same firing is the same call, whoever makes it and however often. */
const firingId = (app: string, name: string, dueMs: number): string =>
  createHash("sha256").update(`firing\n${app}\n${name}\n${dueMs}`).digest("hex").slice(0, 16);

export function createSchedules(parts: SchedulesParts): Schedules {
  const { records, deployments, registry, calls, turn, clock } = parts;
  const entries = new Map<string, Entry>();
  let timer: NodeJS.Timeout | undefined;

  function save({ app, name, state }: Entry): void {
    const key = keyOf(app, name);
    records.put(kind, key, ScheduleState.encode(state).finish(), records.get(kind, key)?.revision ?? 0);
  }

  function nextOf({ state: { schedule, anchorMs, lastMs, paused } }: Entry): number {
    return paused ? Number.POSITIVE_INFINITY : (firingAfter(schedule!, anchorMs, lastMs) ?? Number.POSITIVE_INFINITY);
  }

  /** What is live of the app, against what was. A schedule that stays as it was goes on where it is; another begins now. */
  function changed(app: string): void {
    const live = deployments.live(app);
    const wanted = new Map<string, Schedule>();
    for (const { version } of live?.functions ?? []) {
      if (version?.spec?.schedule) wanted.set(version.function, version.spec.schedule);
    }
    for (const { key } of records.list(kind)) {
      const [owner, name] = key.split("\n") as [string, string];
      if (owner !== app || wanted.has(name)) continue;
      records.remove(kind, key);
      entries.delete(key);
    }
    for (const [name, schedule] of wanted) {
      const key = keyOf(app, name);
      const record = records.get(kind, key);
      const known = record && ScheduleState.decode(record.value);
      const nowMs = clock.now();
      const goesOn = known && same(known.schedule, schedule);
      const state = goesOn ? known : ScheduleState.fromPartial({ ...known, schedule, anchorMs: nowMs, lastMs: nowMs });
      const entry = { app, name, deployment: live!.number, state, nextMs: 0 };
      entry.nextMs = nextOf(entry);
      entries.set(key, entry);
      if (!goesOn) save(entry);
    }
    sleep();
  }

  function sleep(waitMs?: number): void {
    clearTimeout(timer);
    const nextMs = Math.min(...[...entries.values()].map((entry) => entry.nextMs));
    if (!Number.isFinite(nextMs)) return;
    timer = setTimeout(wake, waitMs ?? Math.min(Math.max(0, nextMs - clock.now()), longestSleepMs));
    timer.unref();
  }

  function wake(): void {
    const nowMs = clock.now();
    let refused = false;
    for (const entry of entries.values()) if (entry.nextMs <= nowMs) refused = !fire(entry, nowMs) || refused;
    sleep(refused ? againMs : undefined);
  }

  /** False when something could not be made, and is tried again. */
  function fire(entry: Entry, nowMs: number): boolean {
    if (turn.stuck) return false;
    const { app, name, state } = entry;
    const { schedule, anchorMs, lastMs } = state;
    const plan = dueFirings({ schedule: schedule!, anchorMs, lastMs }, nowMs);
    for (const { dueMs, missed } of plan.fire) {
      const call = firingId(app, name, dueMs);
      if (!start(entry, call)) {
        note(entry);
        return false;
      }
      state.firings.push(Firing.fromPartial({ dueMs, firedMs: nowMs, kind: missed ? "missed" : "due", call }));
      state.lastMs = Math.max(state.lastMs, dueMs);
    }
    state.lastMs = Math.max(state.lastMs, plan.lastMs);
    note(entry);
    return true;
  }

  function note(entry: Entry): void {
    entry.state.firings = entry.state.firings.slice(-firingsKept);
    entry.nextMs = nextOf(entry);
    save(entry);
    turn.wake();
  }

  /** False when control takes no more calls at present. */
  function start({ app, name, deployment }: Entry, id: string): boolean {
    const target = { app: deploymentName(app, deployment), function: name, version: "", parent: "" };
    const given = Arguments.fromPartial({ positional: Buffer.from("[]") });
    calls.start({ id, ...target, arguments: given, origin: "schedule" });
    return calls.find(id) !== undefined;
  }

  function entryOf(app: string, name: string): Entry {
    const found = entries.get(keyOf(app, name));
    if (found) return found;
    const live = deployments.live(app);
    const why = live
      ? `deployment ${live.number} of ${app} has no function ${name} with a schedule`
      : `${app} is not deployed, and only what is deployed fires`;
    throw new HobError("notFound", why, { remedy: live ? "hob schedules ls lists them" : "deploy it: hob deploy" });
  }

  function infoOf({ app, name, deployment, state, nextMs }: Entry): ScheduleInfo {
    const firings = state.firings.toReversed().map((firing) => ({ ...firing, outcome: calls.find(firing.call) }));
    const next = Number.isFinite(nextMs) ? nextMs : 0;
    return { app, function: name, schedule: state.schedule, deployment, nextMs: next, paused: state.paused, firings };
  }

  /** Of functions that declare one and are not deployed. */
  function resting(): ScheduleInfo[] {
    return registry.apps().flatMap((app) => {
      if (isDeployment(app)) return [];
      const waiting = registry
        .current(app)
        .filter(({ spec, function: name }) => spec?.schedule && !entries.has(keyOf(app, name)));
      return waiting.map(({ spec, function: name }) =>
        ScheduleInfo.fromPartial({ app, function: name, schedule: spec!.schedule! }),
      );
    });
  }

  for (const app of deployments.apps()) changed(app);

  return {
    changed,
    list(app, name) {
      const all = [...[...entries.values()].map(infoOf), ...resting()];
      const found = all.filter((info) => (app === "" || info.app === app) && (name === "" || info.function === name));
      return found.sort((a, b) => (keyOf(a.app, a.function) < keyOf(b.app, b.function) ? -1 : 1));
    },
    run(app, name) {
      const entry = entryOf(app, name);
      const call = randomBytes(8).toString("hex");
      if (turn.stuck) throw turn.stuck;
      if (!start(entry, call)) {
        throw new HobError("exhausted", `${app}/${name} was not called: control takes no more calls now`, {
          remedy: "try again",
        });
      }
      const nowMs = clock.now();
      entry.state.firings.push(Firing.fromPartial({ dueMs: nowMs, firedMs: nowMs, kind: "hand", call }));
      note(entry);
      return call;
    },
    pause(app, name, paused) {
      const entry = entryOf(app, name);
      if (entry.state.paused && !paused) entry.state.lastMs = clock.now();
      entry.state.paused = paused;
      note(entry);
      sleep();
      return Number.isFinite(entry.nextMs) ? entry.nextMs : 0;
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
