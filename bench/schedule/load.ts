// ④ What a simulated pool is asked for: calls of functions with images, generated from a seed, or recorded by `hob calls --json`.

import type { QueuedCall } from "../../control/scheduler/decide.ts";
import { classKeyOf, defaultMemoryBytes } from "../../control/scheduler/pools.ts";
import { randomOf } from "../../test/drive/random.ts";

export interface LoadFunction {
  readonly key: string;
  readonly app: string;
  readonly image: string;
  readonly classKey: string;
}

export interface LoadCall extends QueuedCall {
  readonly of: LoadFunction;
  readonly atMs: number;
  readonly runMs: number;
  readonly person: boolean;
}

export interface Load {
  readonly functions: readonly LoadFunction[];
  /** Bytes, by image. */
  readonly images: ReadonlyMap<string, number>;
  /** By the time at which they come. */
  readonly calls: readonly LoadCall[];
}

const GiB = 2 ** 30;

const classKey = (cpu: number, memoryBytes: number): string =>
  classKeyOf({ cpu, memoryBytes, language: "python", gpu: "", network: "internet" });

const classes = [
  classKey(0, defaultMemoryBytes),
  classKey(0, defaultMemoryBytes),
  classKey(1, GiB),
  classKey(1, 2 * GiB),
  classKey(2, 4 * GiB),
];
const bursts = 40;

interface Wish {
  seed: number;
  calls: number;
  functions: number;
  images: number;
  seconds: number;
}

/** A few functions are called most, a fifth of the calls are a person's, a quarter come in bursts, and times are spread over four powers of ten. */
export function generated({ seed, calls: count, functions: wide, images: many, seconds }: Wish): Load {
  const random = randomOf(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const images = new Map(Array.from({ length: many }, (_, n) => [`image ${n}`, Math.round((0.1 + 2 * random()) * GiB)]));
  const functions = Array.from({ length: wide }, (_, n): LoadFunction & { medianMs: number } => {
    const app = `app ${n % Math.ceil(wide / 3)}`;
    const image = `image ${Math.floor(random() * many)}`;
    return {
      ...{ key: `${app} function ${n}`, app, image, classKey: classes[Math.floor(random() * classes.length)]! },
      medianMs: 10 ** (1 + 2.2 * random()),
    };
  });
  const weights = functions.map((_, n) => 1 / (n + 1));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const popular = (): (typeof functions)[number] => {
    let left = random() * whole;
    return (
      functions.find((_, n) => {
        left -= weights[n]!;
        return left <= 0;
      }) ?? functions[0]!
    );
  };
  const starts = Array.from({ length: bursts }, () => ({ of: popular(), atMs: random() * seconds * 900 }));
  const calls = Array.from({ length: count }, (_, n): LoadCall => {
    const burst = n % 4 === 0 ? starts[Math.floor(random() * bursts)]! : undefined;
    const of = burst?.of ?? popular();
    const atMs = burst ? burst.atMs + random() * 500 : random() * seconds * 1_000;
    const runMs = of.medianMs * Math.exp(0.8 * normal());
    return { id: `${n}`, snapshot: of.app, of, atMs, runMs, person: !burst && random() < 0.25 };
  });
  return { functions, images, calls: calls.sort((a, b) => a.atMs - b.atMs) };
}

interface RecordedLine {
  kind: string;
  call: string;
  app: string;
  function: string;
  origin: string;
  queuedAtMs: number;
  ms: { run?: number };
}

const personal = new Set(["key", "save", "cli"]);

/** Of the lines of `hob calls --json`. They say neither image nor class: each app has the host's image and the standard class. */
export function recorded(text: string): Load {
  const lines = text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [JSON.parse(line) as RecordedLine]));
  const said = lines
    .filter(({ kind, ms }) => kind === "call" && ms.run !== undefined)
    .sort((a, b) => a.queuedAtMs - b.queuedAtMs);
  const functions = new Map<string, LoadFunction>();
  const calls = said.map((line): LoadCall => {
    const key = line.app;
    const of = functions.get(key) ?? { key, app: line.app, image: "host", classKey: classes[0]! };
    functions.set(key, of);
    const atMs = line.queuedAtMs - said[0]!.queuedAtMs;
    return { id: line.call, snapshot: line.app, of, atMs, runMs: line.ms.run!, person: personal.has(line.origin) };
  });
  return { functions: [...functions.values()], images: new Map([["host", 0]]), calls };
}
