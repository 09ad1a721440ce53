// ⑧ The screen at 200×50 under load: processor time, key to frame, idle, first frame, and memory over an hour's worth of events.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installRoot } from "../base/install.ts";
import { openScreen } from "../test/drive/screen.ts";
import { makeWorkplace } from "../test/drive/workplace.ts";
import { buildStage, openStage, removeStage, type Stage } from "../test/tui/terminal.ts";
import { makeRow, quantile, type Row } from "./report.ts";
import { hourMs, writeHour } from "./screen/hour.ts";
import { columns, cpuMs, openRival, rows } from "./screen/rival.ts";

const presses = 100;
const measuredMs = 10_000;
const idleMs = 10_000;
const startRounds = 7;
const hourSpeed = 64; // the fastest that a replay goes

type Say = { say(text: string): void };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function screen({ say }: Say): Promise<Row[]> {
  const stage = await buildStage();
  try {
    say("screen: 5,000 lines a second");
    const calm = await flooded(stage, 5_000);
    say("screen: tail -f in tmux, 5,000 lines a second");
    const rival = await rivalFlooded(5_000);
    say("screen: 50,000 lines a second");
    const wild = await flooded(stage, 50_000);
    const rivalWild = await rivalFlooded(50_000);
    say(`screen: what is lost of 200,000 lines: ${await lost(stage)} (the counter says the same)`);
    say("screen: idle");
    const still = await idle(stage);
    say("screen: first frames");
    const first = await firstFrames();
    say("screen: an hour's worth of events");
    const hour = await soak();
    const tail = { rival: "tail -f in tmux" };
    const keys = (rate: string, own: number[], theirs: number[], atMost: number): Row[] =>
      ([50, 95] as const).map((percent) =>
        makeRow(
          {
            ...{ bench: "screen", row: `key-${rate}-lines`, stat: `p${percent}`, unit: "ms", ...tail },
            ...{ value: quantile(own, percent / 100), rivalValue: quantile(theirs, percent / 100) },
          },
          percent === 95 ? { atMost } : {},
        ),
      );
    const share = { bench: "screen", stat: "mean", unit: "%" } as const;
    return [
      makeRow({ ...share, row: "cpu-5k-lines", value: calm.cpu, ...tail, rivalValue: rival.cpu }, { atMost: 35 }),
      ...keys("5k", calm.keysMs, rival.keysMs, 33),
      makeRow({ ...share, row: "cpu-50k-lines", value: wild.cpu, ...tail, rivalValue: rivalWild.cpu }),
      ...keys("50k", wild.keysMs, rivalWild.keysMs, 60),
      makeRow({ ...share, row: "idle-cpu", value: still.cpu }, { atMost: 1 }),
      makeRow({ ...share, row: "idle-bytes", stat: "total", unit: "B", value: still.bytes }, { atMost: 0 }),
      makeRow(
        {
          ...{ bench: "screen", row: "first-frame", stat: "p50", unit: "ms", value: quantile(first, 0.5) },
          ...{ ...tail, rivalValue: rival.firstFrameMs },
        },
        { atMost: 250 },
      ),
      makeRow({ ...share, row: "soak-memory", of: "growth in the second half hour", value: hour.growth }, { atMost: 5 }),
      makeRow({ bench: "screen", row: "soak-memory", of: "at the end", stat: "total", unit: "MB", value: hour.endMb }),
    ];
  } finally {
    removeStage();
  }
}

interface Flooded {
  cpu: number; // % of one core
  keysMs: number[];
}

async function flooded(stage: string, linesPerSecond: number): Promise<Flooded> {
  using shown = openStage({
    ...{ stage, recording: "working", columns, rows },
    env: { HOB_STAGE_FLOOD: String(linesPerSecond), HOB_STAGE_SAMPLES: "changing" },
  });
  await shown.until("the flood", (text) => /line \d{5}/.test(text));
  const before = { cpu: cpuMs(shown.pid), ms: performance.now() };
  await sleep(measuredMs);
  const cpu = ((cpuMs(shown.pid) - before.cpu) / (performance.now() - before.ms)) * 100;
  // The fleet's filter: what is typed stands in the bottom line, and the output stays on the screen.
  shown.press("4/");
  await shown.until("the filter", (text) => text.includes("enter keep"));
  const keysMs = await timeKeys(shown.press, (typed) =>
    shown.until("the key", () => shown.rows().at(-1)?.includes(` / ${typed} `) ?? false),
  );
  return { cpu, keysMs };
}

/** Types one key after the other at odd moments; how long each took to be seen. */
async function timeKeys(press: (key: string) => void, seen: (typed: string) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  let typed = "";
  for (let count = 0; count < presses; count++) {
    const key = String.fromCharCode(97 + (count % 26));
    typed += key;
    const startMs = performance.now();
    press(key);
    await seen(typed);
    times.push(performance.now() - startMs);
    await sleep(40 + (count % 7) * 11);
  }
  return times;
}

async function rivalFlooded(linesPerSecond: number): Promise<Flooded & { firstFrameMs: number }> {
  await using rival = await openRival(linesPerSecond);
  await rival.sees("the flood", (text) => /line \d{5}/.test(text));
  const before = { cpu: rival.cpuMs(), ms: performance.now() };
  await sleep(measuredMs);
  const cpu = ((rival.cpuMs() - before.cpu) / (performance.now() - before.ms)) * 100;
  // The pane's line of input wraps: its last cells are enough to know the key by.
  const keysMs = await timeKeys(rival.press, (typed) =>
    rival.sees("the key", (text) => text.includes(`│${typed.slice(-8)}`) || text.includes(typed.slice(-8))),
  );
  return { cpu, keysMs, firstFrameMs: rival.firstFrameMs };
}

/** How many of 200,000 lines are no longer there; throws where that is not what the screen says. */
async function lost(stage: string): Promise<number> {
  const total = 200_000;
  const last = 1_000 + total; // the stage's first line has number 1,001
  using shown: Stage = openStage({
    ...{ stage, recording: "working", columns, rows },
    env: { HOB_STAGE_FLOOD: "50000", HOB_STAGE_LINES: String(total) },
  });
  await shown.until("the last line", (text) => text.includes(`line ${last}:`));
  shown.press("2g");
  const text = await shown.until("the counter", (seen) => seen.includes("earlier lines are no longer kept here"));
  const dropped = Number(/… ([\d,]+) earlier/.exec(text)?.[1]?.replaceAll(",", ""));
  const first = Number(/line (\d+):/.exec(text)?.[1]);
  const own = 3; // lines of the recording that came before
  if (first !== 1_001 + dropped - own) throw new Error(`the counter says ${dropped}, and the first line is ${first}`);
  return dropped;
}

async function idle(stage: string): Promise<{ cpu: number; bytes: number }> {
  using shown = openStage({ ...{ stage, recording: "working", columns, rows }, env: { HOB_STAGE_SAMPLES: "alike" } });
  await shown.until("all of it", (text) => text.includes("64 dimensions"));
  await sleep(10_000); // the notice of the recording has gone
  const before = { cpu: cpuMs(shown.pid), bytes: shown.written(), ms: performance.now() };
  await sleep(idleMs);
  return {
    cpu: ((cpuMs(shown.pid) - before.cpu) / (performance.now() - before.ms)) * 100,
    bytes: shown.written() - before.bytes,
  };
}

async function firstFrames(): Promise<number[]> {
  const times: number[] = [];
  using place = makeWorkplace("quickstart");
  for (let round = 0; round < startRounds; round++) {
    const startMs = performance.now();
    await using shown = openScreen(join(installRoot, "bin/hob"), ["dev", place.project], {
      ...{ columns, rows, environment: place.environment },
    });
    await shown.waitFor("the first frame", (text) => text.includes("1 Functions"));
    times.push(performance.now() - startMs);
    shown.press("q");
    await shown.ended;
  }
  return times;
}

/** Resident memory while an hour of a session is replayed: how much more it is at the end than in the middle, in %. */
async function soak(): Promise<{ growth: number; endMb: number }> {
  const folder = mkdtempSync(join(tmpdir(), "hob-hour-"));
  const file = join(folder, "hour.jsonl");
  try {
    await writeHour(file);
    await using shown = openScreen(join(installRoot, "bin/hob"), ["replay", file, "--speed", String(hourSpeed)], {
      ...{ columns, rows, environment: { HOB_NO_SETUP: "1" } },
    });
    await shown.waitFor("the first frame", (text) => text.includes("1 Functions"));
    // The launcher's only child.
    const screen = Number(readFileSync(`/proc/${shown.pty.pid}/task/${shown.pty.pid}/children`, "utf8"));
    const samples: number[] = [];
    const sampler = setInterval(() => samples.push(residentMb(screen)), 250);
    await shown.waitFor("the end", (text) => text.includes("end of the recording"), (hourMs / hourSpeed) * 3);
    clearInterval(sampler);
    shown.press("q");
    await shown.ended;
    const mean = (from: number, to: number): number => {
      const part = samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * to));
      return part.reduce((sum, value) => sum + value, 0) / part.length;
    };
    const endMb = mean(0.9, 1);
    return { growth: (endMb / mean(0.45, 0.55) - 1) * 100, endMb };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
