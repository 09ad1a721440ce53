// ⑤⑥ A hundred containers at once, on a real agent: from the reserve and from waiting warm to user code's result, new code, their end, their samples.
// This process is the agent's control. Every round runs all rows and the rival's same hundred, so that both meet the same machine.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerInfo } from "../proto/gen/hob/v1/fleet.ts";
import { hostImageRef } from "../proto/image.ts";
import { type AgentUnderTest, callOf, pythonLoad, startAgent } from "../test/container/agent-process.ts";
import { makeRow, quantile, type Row } from "./report.ts";
import { runcCrowd } from "./runc-crowd.ts";
import { sampling } from "./sampling.ts";

const crowd = 100;
const rounds = 3;
const graceMs = 1_000;
const runnerAndSpare = 2; // processes
const runnerServingAndSpare = 3;
const resourceClass = { cpu: 0, memoryBytes: 256 * 2 ** 20, language: "python", gpu: "", network: "none" };
const source = (n: number): string => `import json\n\n\ndef work():\n    return json.loads("${n}")\n`;

type Times = Record<"start" | "specialise" | "call" | "stop" | "sample" | "rivalRun" | "rivalDelete" | "rivalSample", number[]>;

export async function burst({ say }: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-burst-"));
  const plain = join(work, "plain");
  mkdirSync(plain);
  writeFileSync(join(plain, "app.py"), `${source(7)}\n\nprint(work())\n`);
  const rival = runcCrowd(join(work, "runc"), plain);
  const times: Times = {
    start: [],
    specialise: [],
    call: [],
    stop: [],
    sample: [],
    rivalRun: [],
    rivalDelete: [],
    rivalSample: [],
  };
  await using agent = await startAgent(join(work, "store"));
  try {
    const hundred = await openHundred(agent);
    for (let round = 1; round <= rounds; round++) {
      say(`burst: round ${round} of ${rounds}`);
      await hundred.reserved();
      times.start.push(await hundred.start());
      await hundred.settled(); // the reserve and the spare processes are made up again: what follows is not measured beside that
      times.call.push(await hundred.callNewCode(round));
      const sampled = sampling(join(agent.options.run, "runc"), hundred.containers());
      times.sample.push(sampled.keptMs);
      times.rivalSample.push(sampled.openedMs);
      times.stop.push(await hundred.stop());
      await hundred.warm();
      times.specialise.push(await hundred.specialise());
      await hundred.stop();
      await hundred.reserved();
      times.rivalRun.push(await rival.run(crowd, ["/usr/bin/python3", "/srv/app.py"]));
      times.rivalDelete.push(await rival.deleteLiving(crowd));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return rowsOf(times);
}

interface Hundred {
  /** The reserve is full. */
  reserved(): Promise<void>;
  /** So it is, and each that runs has its process in spare. */
  settled(): Promise<void>;
  /** A hundred wait warm, none in the reserve, each with its process in spare. */
  warm(): Promise<void>;
  /** Each resolves with the milliseconds that it took for all. */
  start(): Promise<number>;
  specialise(): Promise<number>;
  callNewCode(round: number): Promise<number>;
  stop(): Promise<number>;
  containers(): string[];
}

async function openHundred(agent: AgentUnderTest): Promise<Hundred> {
  await agent.heard("hello");
  agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
  const { image } = await agent.heard("image");
  const states = new Map<string, string>();
  const loads = new Map<string, ReturnType<typeof pythonLoad>>();
  let serial = 0;
  let look = (): void => {};
  let warmed: (container: ContainerInfo) => void = () => {};
  const running = new Map<string, () => void>();
  const processes = new Map<string, number>(); // of each container, when it was sampled last
  const fault = Promise.withResolvers<never>();
  fault.promise.catch(() => {}); // every step races it

  agent.listen((message) => {
    if (message.$case === "container" && message.value.container) {
      const { container, gone } = message.value;
      if (gone) states.delete(container.id);
      else states.set(container.id, container.state);
      if (!gone && container.state === "warm") warmed(container);
    } else if (message.$case === "sample") {
      for (const { id, pids } of message.value.containers) processes.set(id, pids);
    } else if (message.$case === "finished") {
      const { call, failure } = message.value;
      if (failure) fault.reject(new Error(`a call failed: ${failure.message}`));
      running.get(call)?.();
      running.delete(call);
    }
    look();
  });

  const warmIds = (): string[] => [...states].filter(([, state]) => state === "warm").map(([id]) => id);
  const count = (state: string): number => [...states.values()].filter((other) => other === state).length;
  const isReserved = (): boolean => count("created") === crowd && count("stopping") + count("starting") + count("warm") === 0;
  const wish = (warm: number, reserve = crowd): void =>
    agent.send({
      $case: "pools",
      value: { pools: [{ image: image?.digest ?? "", resourceClass, warm, reserve, wanted: warm }] },
    });

  function until(holds: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    look = () => {
      if (holds()) resolve();
    };
    look();
    return promise;
  }

  /** Sends new code with a call of it. */
  function call(container: string, n: number): Promise<void> {
    const base = loads.get(container);
    const load = pythonLoad(container, source(n), ["work"], base);
    loads.set(container, load);
    const id = (++serial).toString(16).padStart(16, "0");
    const { promise, resolve } = Promise.withResolvers<void>();
    running.set(id, resolve);
    agent.send(callOf(id, load, "work", [], { withLoad: true }));
    return promise;
  }

  async function timed(step: () => Promise<unknown>): Promise<number> {
    const began = performance.now();
    await Promise.race([step(), fault.promise]);
    return performance.now() - began;
  }

  return {
    reserved: () => {
      wish(0);
      return until(isReserved);
    },
    settled: () =>
      until(() => isReserved() && [...loads.keys()].every((id) => (processes.get(id) ?? 0) >= runnerServingAndSpare)),
    warm: () => {
      wish(crowd, 0);
      return until(() => warmIds().length === crowd && warmIds().every((id) => (processes.get(id) ?? 0) >= runnerAndSpare));
    },
    start: () =>
      timed(async () => {
        const done: Promise<void>[] = [];
        const all = Promise.withResolvers<void>();
        // As control does: each that is warm gets its call, and is wished no more.
        warmed = ({ id }) => {
          done.push(call(id, 0));
          wish(crowd - done.length);
          if (done.length === crowd) all.resolve();
        };
        wish(crowd);
        await all.promise;
        warmed = () => {};
        await Promise.all(done);
      }),
    specialise: () => timed(() => Promise.all(warmIds().map((id) => call(id, 0)))), // others are made for them at once, as control wishes it
    callNewCode: (round) => timed(() => Promise.all([...loads.keys()].map((id, index) => call(id, 1_000 * round + index)))),
    stop: () =>
      timed(async () => {
        const ids = [...loads.keys()];
        loads.clear();
        for (const container of ids) agent.send({ $case: "stop", value: { container, reason: "the round is over", graceMs } });
        await until(() => ids.every((id) => !states.has(id)));
      }),
    containers: () => [...loads.keys()],
  };
}

function rowsOf(times: Times): Row[] {
  const median = (samples: number[]): number => quantile(samples, 0.5);
  const base = { bench: "burst", unit: "ms" as const };
  const run = { rival: "100 × runc run python3, 4 at a time", rivalValue: median(times.rivalRun) };
  return [
    makeRow({ ...base, row: "start-100-reserve", stat: "total", value: median(times.start), ...run }, { atMost: 800, times: 1 }),
    makeRow(
      { ...base, row: "start-100-warm", stat: "total", value: median(times.specialise), ...run },
      { atMost: 800, times: 1 },
    ),
    makeRow({ ...base, row: "call-100-new-code", stat: "total", value: median(times.call), ...run }, { atMost: 200, times: 1 }),
    makeRow(
      {
        ...{ ...base, row: "stop-100", stat: "total", value: median(times.stop) },
        ...{ rival: "100 × runc delete -f, 4 at a time", rivalValue: median(times.rivalDelete) },
      },
      { atMost: 1_000, times: 1 },
    ),
    makeRow(
      {
        ...{ ...base, row: "sample-100", stat: "p50", value: median(times.sample) },
        ...{ rival: "open, read, close", rivalValue: median(times.rivalSample) },
      },
      { atMost: 1, times: 1 },
    ),
  ];
}
