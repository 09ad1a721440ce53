// ④⑦ What control holds at most, each with a name, and the sentence for what is beyond. docs/limits.md has the same table.

import { HobError } from "../base/errors.ts";

interface Limit {
  most: number;
  /** What is counted. */
  of: string;
  remedy: string;
}

const table = {
  "calls-per-app": {
    most: 100_000,
    of: "unfinished calls of an app",
    remedy: "wait until some have finished, or use .map, whose inputs are taken as they are needed",
  },
  calls: { most: 250_000, of: "unfinished calls", remedy: "wait until some have finished" },
  "call-bytes": {
    most: 512 << 20,
    of: "bytes of arguments that unfinished calls hold",
    remedy: "wait until some have finished, or pass less",
  },
  "children-per-call": {
    most: 10_000,
    of: "unfinished calls that one call waits for",
    remedy: "wait for some of them, or use .map",
  },
  "call-depth": {
    most: 64,
    of: "calls that wait for one another in a chain",
    remedy: "look for a recursion that does not end, or use .spawn, which nobody waits for",
  },
  maps: { most: 1_000, of: "maps that run", remedy: "wait until some have finished" },
  sessions: { most: 512, of: "sessions of clients", remedy: "close some of them" },
  "log-readers": { most: 256, of: "readers of logs", remedy: "end some `hob logs`" },
  uploads: { most: 128, of: "uploads at a time", remedy: "try again in a moment" },
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof table;
export type Limits = Readonly<Record<LimitName, number>>;

export const limitNames = Object.keys(table) as LimitName[];

export function withLimits(changed: Partial<Limits> = {}): Limits {
  const standard = Object.fromEntries(limitNames.map((name) => [name, table[name].most])) as Record<LimitName, number>;
  return { ...standard, ...changed };
}

const written = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

/** `what` was not done: the sentence names the limit, its value, and what helps. */
export function beyond(limits: Limits, name: LimitName, what: string): HobError {
  const { of, remedy } = table[name];
  return new HobError("exhausted", `${what}: the limit ${name} of ${written(limits[name])} ${of} is reached`, { remedy });
}
