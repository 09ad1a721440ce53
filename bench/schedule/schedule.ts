// ④ The scheduler: its policy on simulated machines beside simple ones, what a decision takes in a large pool, and control beside a thousand agents.

import { readFileSync } from "node:fs";
import { makeRow, quantile, type Row } from "../report.ts";
import { crowd } from "./crowd.ts";
import { simulateHob } from "./hob.ts";
import { generated, type Load, recorded } from "./load.ts";
import type { Outcome } from "./machines.ts";
import { rivals, simulateRival } from "./rivals.ts";

const nodes = 1_000;
const standing = 10_000; // containers
const agents = 1_000;
const containersEach = 10;
const bench = "schedule";

/** `load`: a file of lines of `hob calls --json`, to be replayed instead of generated calls; "" for those. */
export async function schedule({ load: file, say }: { load: string; say(text: string): void }): Promise<Row[]> {
  const load = file ? recorded(readFileSync(file, "utf8")) : generated({ seed: 7, calls: 100_000, ...shape, seconds: 40 });
  const rows = [...placement(load, say), ...decision(say)];
  if (file) return rows;
  const { cores, rssMb, sampled, callsMs, agesMs } = await crowd(agents, containersEach, say);
  const of = `${Math.round(sampled)} samples/s`;
  return [
    ...rows,
    makeRow({ bench, row: "agents-1000-cpu", of, stat: "mean", value: cores * 100, unit: "%" }, { atMost: 100 }),
    makeRow({ bench, row: "agents-1000-rss", stat: "total", value: rssMb, unit: "MB" }, { atMost: 1_024 }),
    makeRow({ bench, row: "agents-1000-age", of: "what control knows", stat: "p99", value: quantile(agesMs, 0.99), unit: "ms" }),
    makeRow({ bench, row: "agents-1000-call", stat: "p50", value: quantile(callsMs, 0.5), unit: "ms" }),
  ];
}

const shape = { functions: 120, images: 24 };

/** Each rival has the same calls on the same machines, but keeps no containers waiting. */
function placement(load: Load, say: (text: string) => void): Row[] {
  const began = performance.now();
  const hob = simulateHob(load, nodes);
  const tookS = ((performance.now() - began) / 1_000).toFixed(1);
  say(`schedule: ${load.calls.length} calls on ${nodes} nodes replayed in ${tookS} s, ${hob.decideMs.length} decisions`);
  return Object.entries(rivals).flatMap(([rival, choose]) => rowsOf(rival, hob, simulateRival(load, nodes, choose)));
}

function rowsOf(rival: string, ours: Outcome, theirs: Outcome): Row[] {
  const row = (name: string, stat: Row["stat"], unit: Row["unit"], of: (outcome: Outcome) => number): Row =>
    makeRow({ bench, row: name, stat, unit, value: of(ours), rival, rivalValue: of(theirs) });
  return [
    row("simulated-wait", "p50", "ms", ({ waits }) => quantile(waits, 0.5)),
    row("simulated-wait", "p99", "ms", ({ waits }) => quantile(waits, 0.99)),
    row("simulated-person", "p99", "ms", ({ personsWaits }) => quantile(personsWaits, 0.99)),
    row("simulated-cold", "mean", "%", ({ coldStarts, waits }) => (100 * coldStarts) / waits.length),
    row("simulated-moved", "total", "MB", ({ bytesMoved }) => bytesMoved / 1e6),
  ];
}

/** The same decisions in each run, of each the middle time. */
const repetitions = 3;

/** In a pool of so many nodes and containers, beside the same decision with the whole pool counted anew. */
function decision(say: (text: string) => void): Row[] {
  const load = generated({ seed: 11, calls: 20_000, ...shape, seconds: 10 });
  const runs = Array.from({ length: repetitions }, () => simulateHob(load, nodes, { standing, anewEvery: 200 }));
  const { anewMs, containers } = runs[0]!;
  const decideMs = runs[0]!.decideMs.map((_, n) =>
    quantile(
      runs.map((run) => run.decideMs[n]!),
      0.5,
    ),
  );
  say(`schedule: ${decideMs.length} decisions over ${nodes} nodes and ${containers} containers`);
  return ([0.5, 0.99] as const).map((q) =>
    makeRow(
      {
        ...{ bench, row: "decide", stat: q === 0.5 ? "p50" : "p99", unit: "ms", value: quantile(decideMs, q) },
        ...{ rival: "pool counted anew", rivalValue: quantile(anewMs, q) },
      },
      q === 0.99 ? { atMost: 5 } : {},
    ),
  );
}
