// Memory over many saves: control, agent, FUSE daemon, runner and its container, half-way and at the end. Each must be flat from half-way on.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { startDev } from "../test/drive/dev-process.ts";
import { saveAndWait } from "./loop.ts";
import { parentOf, poolProcesses, read, residentBytes } from "./processes.ts";
import { programs } from "./programs.ts";
import { makeRow, type Row } from "./report.ts";

/** At this many `--saves` (the default) the row makes its thousand. */
const savesForThousand = 120;
const growthMost = 5; // percent
/** Collected garbage leaves in steps: what counts is the least within this share of the saves before each mark. */
const window = 0.1;

type Figure = "control" | "agent" | "FUSE daemon" | "runner" | "container";
type Sample = Record<Figure, number>; // bytes

export async function memory(options: { saves: number; say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-memory-"));
  const program = programs[0]!;
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, program.file), program.source(0));
  const environment = {
    XDG_STATE_HOME: join(work, "state"),
    XDG_CACHE_HOME: join(work, "cache"),
    XDG_CONFIG_HOME: join(work, "config"),
    HOB_LINGER_MS: "3000",
  };
  const half = Math.max(10, Math.round((options.saves / savesForThousand) * 500));
  options.say(`loop saves-1000-memory: ${2 * half} saves`);
  const marks: Sample[] = [];
  try {
    await using dev = startDev(project, ["--pin", program.functionName, "--args", "[]"], environment);
    await dev.next("memory: ready", (line) => line.event === "ready");
    await saveAndWait(dev, project, program, 1);
    const look = openLook(environment.XDG_STATE_HOME);
    let lowest: Sample | undefined;
    for (let n = 2; n <= 2 * half; n++) {
      await saveAndWait(dev, project, program, n);
      const untilMark = half - (n % half || half);
      if (untilMark >= half * window) continue;
      const now = look();
      lowest = lowest ? least(lowest, now) : now;
      if (untilMark > 0) continue;
      marks.push(lowest);
      lowest = undefined;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return rowsOf(marks[0]!, marks[1]!, options.say);
}

function rowsOf(middle: Sample, end: Sample, say: (text: string) => void): Row[] {
  const growth = (figure: Figure): number => (end[figure] / middle[figure] - 1) * 100;
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const figures = Object.keys(end) as Figure[];
  for (const figure of figures)
    say(`  ${figure.padEnd(12)} ${megabytes(middle[figure])} → ${megabytes(end[figure])} MB  ${growth(figure).toFixed(1)} %`);
  const base = { bench: "loop", row: "saves-1000-memory", stat: "total" as const, unit: "%" as const };
  return figures.map((figure) => makeRow({ ...base, of: figure, value: growth(figure) }, { atMost: growthMost }));
}

const least = (a: Sample, b: Sample): Sample =>
  Object.fromEntries((Object.keys(a) as Figure[]).map((figure) => [figure, Math.min(a[figure], b[figure])])) as Sample;

/** The processes of the pool that keeps its state there, found once. */
function openLook(state: string): () => Sample {
  const { fuse, agent, control } = poolProcesses(state);
  const runners = readdirSync("/proc").filter(
    (pid) =>
      /^\d+$/.test(pid) &&
      parentOf(pid) === agent &&
      read(`/proc/${pid}/cmdline`).includes("_runner") &&
      read(`/proc/${pid}/cgroup`).includes("/hob-"), // the forerunner is in no container's
  );
  const busiest = runners.toSorted((a, b) => cgroupMemory(b) - cgroupMemory(a))[0];
  if (!busiest) throw new Error("memory: the pool has no runner");
  return () => ({
    control: residentBytes(control),
    agent: residentBytes(agent),
    "FUSE daemon": residentBytes(fuse),
    runner: residentBytes(busiest),
    container: cgroupMemory(busiest),
  });
}

/** Without the page cache, which the kernel takes back when it likes. */
function cgroupMemory(pid: string): number {
  for (const line of read(`/proc/${pid}/cgroup`).split("\n")) {
    const [, controllers = "", path = ""] = line.split(":");
    const inMemory = controllers.split(",").includes("memory");
    if (!inMemory && controllers !== "") continue;
    const stat = read(join("/sys/fs/cgroup", inMemory ? "memory" : "", dirname(path), basename(path), "memory.stat"));
    const anonymous = /^(?:total_rss|anon) (\d+)/m.exec(stat)?.[1];
    if (anonymous) return Number(anonymous) + Number(/^(?:total_shmem|shmem) (\d+)/m.exec(stat)?.[1] ?? 0);
  }
  return 0;
}
