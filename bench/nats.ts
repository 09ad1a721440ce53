// A pool on NATS, of real agents: how fast a durable map goes with three servers, and what is lost or made twice while servers, controls and agents are killed
// and links are cut.

import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { faultsOf } from "../test/drive/mayhem.ts";
import { randomOf } from "../test/drive/random.ts";
import { makeWorld, type World } from "./nats-world.ts";
import { makeRow, type Row } from "./report.ts";

const source = `import time

import hob

app = hob.App("fire")


@app.function()
def same(number: int) -> int:
    return number * 2


@app.function()
def double(number: int) -> int:
    time.sleep(0.008)
    return number * 2


@app.function(schedule=hob.Cron("* * * * * *", missed="all"))
def tick() -> None:
    pass
`;
const rateInputs = 100_000;
const fireInputs = 50_000;
const faults = 30;
const quietMs = 1_000; // between two faults, at least

export async function nats({ seed, say }: { seed: number; say(text: string): void }): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "hob-nats-"));
  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), source);
  try {
    say("nats: three servers, two controls, two agents");
    await using world = await makeWorld(folder, say);
    const deployed = await world.hob(["deploy", project, "--control", world.address]);
    if (deployed.code !== 0) throw new Error(`nats: deploying ended with ${deployed.code}: ${deployed.out}`);
    await map(world, project, { name: "same", inputs: 1_000 });
    const rate = await map(world, project, { name: "same", inputs: rateInputs });
    say(`  ${Math.round(rateInputs / rate.seconds)} inputs/s`);
    const rows = [
      makeRow(
        { bench: "nats", row: "map-rate", stat: "total", unit: "1/s", value: rateInputs / rate.seconds },
        { atLeast: 3_000 },
      ),
    ];
    return [...rows, ...(await underFire({ world, project, seed, say }))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface MapWish {
  name: string;
  inputs: number;
}

function startMap(world: World, project: string, { name, inputs }: MapWish) {
  const from = join(project, `../${name}.in`);
  const to = join(project, `../${name}.out`);
  rmSync(to, { force: true });
  writeFileSync(from, Array.from({ length: inputs }, (_, index) => `${index}\n`).join(""));
  const child = world.start([
    "map",
    `${join(project, "app.py")}::${name}`,
    "--inputs",
    from,
    "--out",
    to,
    "--control",
    world.address,
  ]);
  let said = "";
  child.stderr!.on("data", (data) => {
    said = `${said}${data}`.slice(-5_000);
  });
  child.stdout!.resume();
  return { child, to, said: () => said };
}

async function map(world: World, project: string, wish: MapWish): Promise<{ seconds: number }> {
  const began = performance.now();
  const { child, to, said } = startMap(world, project, wish);
  const [code] = (await once(child, "close")) as [number | null];
  const seconds = (performance.now() - began) / 1000;
  const wrong = code === 0 ? faultsOf(readFileSync(to, "utf8").split("\n").filter(Boolean), wish.inputs) : [said()];
  if (wrong.length > 0) throw new Error(`nats: a map ended with ${code}: ${wrong[0]}`);
  return { seconds };
}

/** Watches the file of results grow: the longest time in which it did not. */
function watchGrowth(file: string): { stop(): number } {
  let size = 0;
  let grownAtMs = performance.now();
  let longestMs = 0;
  const timer = setInterval(() => {
    const now = existsSync(file) ? statSync(file).size : 0;
    if (now > size) {
      longestMs = Math.max(longestMs, performance.now() - grownAtMs);
      grownAtMs = performance.now();
    }
    size = now;
  }, 50);
  return {
    stop() {
      clearInterval(timer);
      return longestMs;
    },
  };
}

interface Fire {
  world: World;
  project: string;
  seed: number;
  say(text: string): void;
}

async function underFire({ world, project, seed, say }: Fire): Promise<Row[]> {
  const random = randomOf(seed);
  say(`  ${fireInputs} inputs and a cron every second, ${faults} faults, seed ${seed}`);
  const { child, to, said } = startMap(world, project, { name: "double", inputs: fireInputs });
  const ended = once(child, "close") as Promise<[number | null]>;
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const growth = watchGrowth(to);
  const firings = new Map<string, number>();
  const listening = (async () => {
    for (; !over; await after(2_000)) for (const [call, dueMs] of await world.firings()) firings.set(call, dueMs);
  })();
  let done = 0;
  while (!over && done < faults) {
    const what = await world.fault(random);
    done++;
    say(`  ${done}: ${what}`);
    await after(quietMs);
  }
  const [code] = await ended;
  await listening;
  for (const [call, dueMs] of await world.firings()) firings.set(call, dueMs);
  const stallMs = growth.stop();
  const lines = existsSync(to) ? readFileSync(to, "utf8").split("\n").filter(Boolean) : [];
  const wrong = faultsOf(lines, fireInputs);
  if (code !== 0 || wrong.length > 0) say(`  the map ended with ${code}: ${said()}`);
  for (const each of wrong.slice(0, 5)) say(`  ${each}`);
  const due = [...firings.values()].sort((a, b) => a - b);
  const twice = due.length - new Set(due).size;
  const seconds = due.length === 0 ? 0 : (due.at(-1)! - due[0]!) / 1000 + 1;
  say(`  ${lines.length} results, ${due.length} firings in ${seconds} s, ${twice} twice`);
  const base = { bench: "nats", stat: "total" as const };
  const missing = Math.max(0, faults - done) + (code === 0 ? 0 : 1);
  return [
    makeRow(
      { ...base, row: "under-fire", of: "results lost or twice", unit: "inputs", value: wrong.length + missing },
      { atMost: 0 },
    ),
    makeRow(
      { ...base, row: "under-fire", of: "firings lost or twice", unit: "inputs", value: twice + seconds - (due.length - twice) },
      { atMost: 0 },
    ),
    makeRow({ ...base, row: "under-fire", of: "longest stall", unit: "ms", value: stallMs }),
  ];
}
