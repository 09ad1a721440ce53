// Maps of a function that does nothing, durable, through real containers: 100,000 inputs as whole commands, beside Python's own
// ProcessPoolExecutor in the same run; and what a million inputs leave in the memory of client and control.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installRoot } from "../base/install.ts";
import { poolProcesses, residentBytes } from "./processes.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const inputsOfRate = 100_000;
const inputsOfMemory = 1_000_000;
const rounds = 3;
const growthMost = 10; // percent, in either direction
const sampleEveryMs = 20;

const source = `import hob

app = hob.App("bench-map")


@app.function()
def same(x):
    return x
`;

/** The same function, one task an input, as many processes as cores. */
const rivalSource = `import os, sys
from concurrent.futures import ProcessPoolExecutor


def same(x):
    return x


if __name__ == "__main__":
    count = int(sys.argv[1])
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        assert sum(1 for _ in pool.map(same, range(count), chunksize=1)) == count
`;

interface Place {
  project: string;
  environment: NodeJS.ProcessEnv;
  state: string;
}

export async function maps({ say }: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-map-"));
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), source);
  writeFileSync(join(work, "rival.py"), rivalSource);
  const state = join(work, "state");
  const folders = { XDG_STATE_HOME: state, XDG_CACHE_HOME: join(work, "cache"), XDG_CONFIG_HOME: join(work, "config") };
  const place = { project, state, environment: { ...process.env, ...folders, HOB_LINGER_MS: "60000" } };
  try {
    await timed(startMap(place, 1_000)); // the pool, its image, its first containers
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      ours.push(inputsOfRate / (await timed(startMap(place, inputsOfRate))));
      theirs.push(inputsOfRate / (await timed(run("/usr/bin/python3", [join(work, "rival.py"), String(inputsOfRate)], place))));
      say(`map round ${round}: ${Math.round(ours.at(-1)!)} and ${Math.round(theirs.at(-1)!)} inputs/s`);
    }
    const rival = { rival: "ProcessPoolExecutor, chunksize 1", rivalValue: quantile(theirs, 0.5) };
    const rate = { bench: "map", row: "map-100k-rate", stat: "p50" as const, unit: "1/s" as const };
    const rateRow = makeRow({ ...rate, value: quantile(ours, 0.5), ...rival }, { atLeast: 8_000 });
    return [rateRow, ...(await memoryRows(place, say))];
  } finally {
    await timed(run(join(installRoot, "bin/hob"), ["pool", "stop", "--now"], place));
    rmSync(work, { recursive: true, force: true });
  }
}

function run(program: string, args: string[], { project, environment }: Place): ChildProcess {
  return spawn(program, args, { cwd: project, env: environment, stdio: ["ignore", "ignore", "inherit"] });
}

const outFile = (place: Place, count: number): string => join(place.project, `../out-${count}.jsonl`);

function startMap(place: Place, count: number): ChildProcess {
  const inputs = join(place.project, `../in-${count}.jsonl`);
  writeFileSync(inputs, `${Array.from({ length: count }, (_, index) => index).join("\n")}\n`);
  const options = ["--inputs", inputs, "--out", outFile(place, count)];
  return run(join(installRoot, "bin/hob"), ["map", "app.py::same", ...options], place);
}

/** Seconds, of the whole command. */
async function timed(child: ChildProcess): Promise<number> {
  const began = performance.now();
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`map: a command ended with ${code}`);
  return (performance.now() - began) / 1000;
}

/** The least of each process while the map stood about its first 100,000 results, and about its last: garbage leaves in steps. */
async function memoryRows(place: Place, say: (text: string) => void): Promise<Row[]> {
  const child = startMap(place, inputsOfMemory);
  const ended = timed(child);
  const file = outFile(place, inputsOfMemory);
  const marks = { early: {} as Record<string, number>, late: {} as Record<string, number> };
  const note = (mark: Record<string, number>, process: string, bytes: number): void => {
    if (bytes > 0) mark[process] = Math.min(mark[process] ?? Number.POSITIVE_INFINITY, bytes);
  };
  const sampling = setInterval(() => {
    const done = writtenShare(file);
    const mark = done > 0.08 && done < 0.16 ? marks.early : done > 0.92 && done < 1 ? marks.late : undefined;
    if (!mark) return;
    note(mark, "client", residentBytes(String(child.pid)));
    note(mark, "control", residentBytes(poolProcesses(place.state).control));
  }, sampleEveryMs);
  await ended.finally(() => clearInterval(sampling));
  const lines = readFileSync(file, "latin1").trimEnd().split("\n");
  if (lines.length !== inputsOfMemory || lines.at(-1) !== `{"index":${inputsOfMemory - 1},"value":${inputsOfMemory - 1}}`)
    throw new Error(`map: ${lines.length} lines, the last ${lines.at(-1)}`);
  const base = { bench: "map", row: "map-memory", stat: "total" as const, unit: "%" as const };
  return ["client", "control"].map((process) => {
    const [early = Number.NaN, late = Number.NaN] = [marks.early[process], marks.late[process]];
    say(`  ${process}: ${(early / 1e6).toFixed(1)} → ${(late / 1e6).toFixed(1)} MB`);
    return makeRow({ ...base, of: process, value: Math.abs(late / early - 1) * 100 }, { atMost: growthMost });
  });
}

function writtenShare(file: string): number {
  try {
    return statSync(file).size / expectedBytes;
  } catch {
    return 0; // not there yet
  }
}

/** Of {"index":N,"value":N} for every input: 20 characters and N twice. */
const expectedBytes = (() => {
  let bytes = 0;
  for (let digits = 1, from = 0; from < inputsOfMemory; digits++) {
    const to = Math.min(10 ** digits, inputsOfMemory);
    bytes += (to - from) * (20 + 2 * digits);
    from = to;
  }
  return bytes;
})();
