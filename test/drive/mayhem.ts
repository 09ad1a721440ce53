// Kills parts of a place's pool with -9, as a machine short of memory would: by what they are for, or at random.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installRoot } from "../../base/install.ts";
import { randomOf } from "./random.ts";
import { processesOf, type Workplace } from "./workplace.ts";

/** How to know each process of the chain by its command line. */
export const roles = {
  screen: / dev --json /,
  control: / control --embedded/,
  agent: /cli\/main\.js agent --embedded/,
  fuse: /fusefs\/daemon/,
} as const;
export type Role = keyof typeof roles;

/** Kills every process of that role. */
export function kill(place: Workplace, role: Role): void {
  for (const { pid, command } of processesOf(place)) if (roles[role].test(command)) end(pid);
}

/** Kills a container, which of them says `random` (0…1); false when there is none. */
function killContainer(place: Workplace, random: number): boolean {
  const all = processesOf(place).filter(({ container }) => container);
  const chosen = all[Math.floor(random * all.length)];
  if (chosen) end(chosen.pid);
  return chosen !== undefined;
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it went with its parent
  }
}

export interface UnderFire {
  /** How often each was killed. */
  killed: Record<Victim, number>;
  /** Between two growths of the results. */
  longestStallMs: number;
  totalMs: number;
  /** The file of results, line by line. */
  lines: string[];
  exitCode: number | null;
  said: string;
}

type Victim = "control" | "agent" | "fuse" | "container";
const victims: readonly Victim[] = ["control", "agent", "fuse", "container"];

const lookEveryMs = 20;
const hangsAfterMs = 60_000;

/** Runs a map of `inputs` inputs and, each time that so many more of its results have come, kills a part of the pool: `kills` times in all. */
export async function mapUnderFire(
  place: Workplace,
  target: string,
  { inputs, kills, seed }: { inputs: number; kills: number; seed: number },
): Promise<UnderFire> {
  const random = randomOf(seed);
  const from = join(place.project, "inputs.jsonl");
  const to = join(place.project, "results.jsonl");
  writeFileSync(from, Array.from({ length: inputs }, (_, index) => `${index}\n`).join(""));
  const argv = ["map", target, "--inputs", from, "--out", to, "--json"];
  const begin = performance.now();
  const child = spawn(join(installRoot, "bin/hob"), argv, {
    cwd: place.project,
    env: { ...process.env, ...place.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      said = `${said}${data}`.slice(-20_000);
    });
  }
  const ended = once(child, "exit") as Promise<[number | null]>;
  const killed: Record<Victim, number> = { control: 0, agent: 0, fuse: 0, container: 0 };
  let seenBytes = 0;
  let lines = 0;
  let grownAtMs = begin;
  let longestStallMs = 0;
  let next = inputs / (kills + 1);
  const look = setInterval(() => {
    const now = performance.now();
    const more = existsSync(to) ? readFrom(to, seenBytes) : Buffer.alloc(0);
    if (more.length > 0) {
      seenBytes += more.length;
      for (const byte of more) if (byte === 10) lines++;
      if (lines > 0) longestStallMs = Math.max(longestStallMs, now - grownAtMs);
      grownAtMs = now;
    } else if (now - grownAtMs > hangsAfterMs) child.kill("SIGKILL");
    const sum = Object.values(killed).reduce((all, count) => all + count, 0);
    if (lines < next || sum >= kills) return;
    const victim = victims[Math.floor(random() * victims.length)]!;
    if (victim === "container") {
      if (!killContainer(place, random())) return; // the next look tries again
    } else kill(place, victim);
    killed[victim]++;
    next = (inputs / (kills + 1)) * (sum + 2);
  }, lookEveryMs);
  const [exitCode] = await ended;
  clearInterval(look);
  const totalMs = performance.now() - begin;
  const text = existsSync(to) ? readFileSync(to, "utf8") : "";
  return { killed, longestStallMs, totalMs, lines: text.split("\n").filter(Boolean), exitCode, said };
}

function readFrom(path: string, position: number): Buffer {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(1 << 20);
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, position));
  } finally {
    closeSync(fd);
  }
}

/** What is not as it should be: each input once, and its double. */
export function faultsOf(lines: string[], inputs: number): string[] {
  const faults: string[] = [];
  const seen = new Uint8Array(inputs);
  for (const line of lines) {
    const { index, value } = JSON.parse(line) as { index: number; value?: unknown };
    if (value !== index * 2) faults.push(`not its double: ${line}`);
    if (seen[index]) faults.push(`twice: ${line}`);
    seen[index] = 1;
  }
  for (let index = 0; index < inputs; index++) if (!seen[index]) faults.push(`no result: ${index}`);
  return faults;
}
