// The loop as a user has it: an editor's atomic save → watch → describe → gRPC → agent → container → the result's line at the client.
// Timed from outside, from just before the rename to the line; between two saves the same file runs locally, and now and then in a cold container.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DevProcess, startDev } from "../test/drive/dev-process.ts";
import { memory } from "./memory.ts";
import { heavyImport, type Program, programs } from "./programs.ts";
import { makeRow, quantile, type Row } from "./report.ts";
import { runcRival } from "./runc-rival.ts";

/** One save in `coldEvery` is followed by a cold `runc run`, which takes long enough to disturb the others. */
const coldEvery = 10;
/** Saves made before the count begins: caches of files, code and connections. */
const warmUp = 5;

interface Times {
  loop: number[];
  local: number[];
  cold: number[];
  steps: Map<string, number[]>;
}

export async function loop(options: { saves: number; say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  const environment = {
    XDG_STATE_HOME: join(work, "state"),
    XDG_CACHE_HOME: join(work, "cache"),
    XDG_CONFIG_HOME: join(work, "config"),
    HOB_LINGER_MS: "3000",
  };
  const rows: Row[] = [];
  try {
    for (const program of programs) {
      options.say(
        `loop ${program.row}${program.row === "python-heavy" ? ` (${heavyImport().name})` : ""}: ${options.saves} saves`,
      );
      const times = await measure(program, join(work, program.row), environment, options.saves);
      rows.push(...rowsOf(program, times));
      const steps = [...times.steps].map(([name, samples]) => `${name} ${quantile(samples, 0.5).toFixed(1)}`);
      options.say(`  steps, p50 ms: ${steps.join("  ")}`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return [...rows, ...(await memory(options))];
}

async function measure(program: Program, folder: string, environment: Record<string, string>, saves: number): Promise<Times> {
  const project = join(folder, "project");
  const plain = join(folder, "plain");
  mkdirSync(project, { recursive: true });
  mkdirSync(plain, { recursive: true });
  const cold = runcRival(join(folder, "runc"), plain);
  writeFileSync(join(project, program.file), program.source(0));
  const times: Times = { loop: [], local: [], cold: [], steps: new Map() };
  await using dev = startDev(project, ["--pin", program.functionName, "--args", "[]"], environment);
  await dev.next(`${program.row}: ready`, (line) => line.event === "ready");
  for (let n = 1; n <= warmUp + saves; n++) {
    const sample = await saveAndWait(dev, project, program, n);
    const file = join(plain, program.file);
    writeFileSync(file, program.plain(n));
    const started = performance.now();
    const output = execFileSync(program.rivalArgv(file)[0]!, program.rivalArgv(file).slice(1), { encoding: "utf8" });
    const localMs = performance.now() - started;
    if (Number(output) !== n) throw new Error(`${program.row}: the rival printed ${output}`);
    if (n <= warmUp) continue;
    times.loop.push(sample.totalMs);
    times.local.push(localMs);
    for (const [name, ms] of Object.entries(sample.steps)) times.steps.set(name, [...(times.steps.get(name) ?? []), ms]);
    if (n % coldEvery === 0) times.cold.push(await cold(program.rivalArgv(join("/srv", program.file))));
  }
  return times;
}

/** Saves as an editor does, by rename, and waits for the line with that save's result. */
export async function saveAndWait(
  dev: DevProcess,
  project: string,
  program: Program,
  n: number,
): Promise<{ totalMs: number; steps: Record<string, number> }> {
  const target = join(project, program.file);
  const temporary = join(project, `.${program.file}.swp`);
  writeFileSync(temporary, program.source(n));
  const savedAt = performance.now();
  renameSync(temporary, target);
  const steps: Record<string, number> = {};
  const { line, atMs } = await dev.next(`${program.row}: result of save ${n}`, (candidate) => {
    if (candidate.event === "reload") Object.assign(steps, candidate["ms"]);
    return (
      candidate.event === "call" &&
      candidate["function"] === program.functionName &&
      (candidate["value"] === n || candidate["ok"] === false)
    );
  });
  if (line["value"] !== n) throw new Error(`${program.row}: save ${n} answered ${JSON.stringify(line)}`);
  Object.assign(steps, line["ms"]);
  return { totalMs: atMs - savedAt, steps };
}

function rowsOf(program: Program, times: Times): Row[] {
  const base = { bench: "loop", row: program.row, unit: "ms" as const };
  const local = { rival: program.rival, rivalValue: quantile(times.local, 0.5) };
  const rows = [
    makeRow({ ...base, stat: "p50", value: quantile(times.loop, 0.5), ...local }, program.goal),
    makeRow(
      {
        ...base,
        stat: "p99",
        value: quantile(times.loop, 0.99),
        rival: program.rival,
        rivalValue: quantile(times.local, 0.99),
      },
      program.goal.p99AtMost === undefined ? {} : { atMost: program.goal.p99AtMost },
    ),
  ];
  if (times.cold.length > 0) {
    rows.push(
      makeRow({
        ...base,
        stat: "p50",
        value: quantile(times.loop, 0.5),
        rival: `runc run ${program.rival}`,
        rivalValue: quantile(times.cold, 0.5),
      }),
    );
  }
  return rows;
}
