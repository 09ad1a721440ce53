// ⑥ Inputs of maps in real containers: what each death of an input gives, what becomes of the others, and the orderly end. The control side is the test.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DispatchInputs, type Load } from "../../proto/gen/hob/v1/agents.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";
import type { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { MapInputs, MapResults } from "../../proto/gen/hob/v1/maps.ts";
import { hostImageRef } from "../../proto/image.ts";
import { type AgentUnderTest, cannotRun, pythonLoad, startAgent } from "./agent-process.ts";

if (cannotRun) console.warn(`tests of maps in containers are skipped: ${cannotRun}`);

const source = `
import ctypes, os, time

def act(what):
    if what == "grow":
        block = bytearray(1 << 30)
        for i in range(0, len(block), 4096):
            block[i] = 1
    if what == "crash":
        ctypes.string_at(0)
    if what == "leave":
        os._exit(3)
    if what == "hang":
        print("hanging", flush=True)
        time.sleep(1000)
    if what == "pause":
        print("pausing", flush=True)
        time.sleep(0.4)
    return what
`;

interface Batch {
  map: string;
  batch: string;
  /** All that was said of it, once it is over: results by index, and why the rest has none. */
  over: Promise<{ results: Map<number, unknown>; failure: Failure | undefined; messages: number }>;
}

describe.skipIf(cannotRun)("maps in containers", () => {
  const store = mkdtempSync(join(tmpdir(), "hob-maps-store-"));
  const resourceClass = { cpu: 0, memoryBytes: 128 << 20, language: "python", gpu: "", network: "none" };
  let agent: AgentUnderTest;
  let load: Load;
  let image = "";
  let batches = 0;

  const warmOnes = (containers: ContainerInfo[]): ContainerInfo[] => containers.filter(({ state }) => state === "warm");

  async function takeContainer(): Promise<void> {
    agent.send({ $case: "pools", value: { pools: [{ image, resourceClass, warm: 1, reserve: 0, wanted: 0 }] } });
    const [container] = warmOnes(await agent.containersFit((present) => warmOnes(present).length > 0));
    load = pythonLoad(container?.id ?? "", source, ["act"]);
    agent.send({ $case: "load", value: load });
  }

  beforeAll(async () => {
    agent = await startAgent(store);
    await agent.heard("hello");
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    image = (await agent.heard("image")).image?.digest ?? "";
    await takeContainer();
  }, 120_000);
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    rmSync(store, { recursive: true, force: true });
  });

  function start(values: unknown[], timeoutMs = 0, from = 0): Batch {
    const map = (++batches).toString(16).padStart(16, "0");
    const batch = `${map}/1`;
    const inputs = values.map((value, at) => {
      return { index: from + at, arguments: { positional: Buffer.from(JSON.stringify([value])), keywords: Buffer.alloc(0) } };
    });
    const bytes = Buffer.from(MapInputs.encode(MapInputs.fromPartial({ inputs })).finish());
    const version = load.versions[0];
    const order = { batch, map, container: load.container, app: load.app, version, inputs: bytes };
    agent.send({ $case: "inputs", value: DispatchInputs.fromPartial({ ...order, count: values.length, timeoutMs }) });
    const over = agent
      .heard("inputs", (said) => said.batch === batch && said.last)
      .then(({ failure }) => {
        const said = agent.said.flatMap((message) =>
          message.$case === "inputs" && message.value.batch === batch ? [message.value] : [],
        );
        const results = new Map<number, unknown>();
        for (const { results: told, count } of said) {
          const list = MapResults.decode(told).results;
          expect(list.length).toBe(count);
          for (const { index, value, failure: failed } of list) {
            expect(results.has(index)).toBe(false);
            results.set(index, failed ? `${failed.kind}: ${failed.message}` : JSON.parse(value?.json.toString() ?? ""));
          }
        }
        return { results, failure, messages: said.length };
      });
    return { map, batch, over };
  }

  const says = (map: string, what: string) =>
    agent.heard("logs", ({ lines }) => lines.some(({ call, text }) => call === map && text === what));

  it("runs some hundred inputs as one message to and fro", async () => {
    const values = [...Array(500).keys()];
    const { results, failure, messages } = await start(values, 0, 1_000_000).over;
    expect(failure).toBeUndefined();
    expect([...results]).toEqual(values.map((value) => [1_000_000 + value, value]));
    expect(messages).toBeLessThan(5);
  });

  it.each([
    ["grow", /^memory: the function ran out of memory \(limit 128 MiB, peak 12\d MiB\)/],
    ["crash", /^signal: .*signal 11 \(segmentation fault\)/],
    ["leave", /^exit: .*exited with code 3/],
    ["hang", /^timeout: the input was still running after 1 s/],
  ])("says of the very input that did it how it died (%s), and gives back what was behind it", async (what, sentence) => {
    const { results, failure } = await start([0, 1, what, 3, 4], what === "hang" ? 1_000 : 0).over;
    expect(failure).toBeUndefined();
    expect(results.get(2)).toMatch(sentence);
    expect([results.has(3), results.has(4)]).toEqual([false, false]);
    expect([...(await start(["next"]).over).results]).toEqual([[0, "next"]]);
  });

  it("tells results while a later input still runs, ends a batch that is cancelled, and says which input wrote what", async () => {
    const { map, batch, over } = start([0, "pause", "hang"]);
    await says(map, "hanging");
    const lines = agent.said.flatMap((message) => (message.$case === "logs" ? message.value.lines : []));
    expect(lines.find(({ call }) => call === map)).toMatchObject({ text: "pausing", input: 1, function: "act" });
    await agent.heard("inputs", (said) => said.batch === batch && !said.last);
    agent.send({ $case: "cancelInputs", value: { batch, container: load.container } });
    const { results, failure } = await over;
    expect([...results.keys()]).toEqual([0, 1]);
    expect(failure?.kind).toBe("cancelled");
  });

  it("lets a batch finish in a container that is to end, and hands it back where there is no time for that", async () => {
    const patient = start(["pause", 1]);
    await says(patient.map, "pausing");
    agent.send({ $case: "stop", value: { container: load.container, reason: "of the test", graceMs: 5_000 } });
    expect([...(await patient.over).results]).toEqual([[0, "pause"], [1, 1]]); // biome-ignore format: as a list
    await takeContainer();
    const cut = start([0, "hang", 2]);
    await says(cut.map, "hanging");
    agent.send({ $case: "stop", value: { container: load.container, reason: "of the test", graceMs: 0 } });
    const { results, failure } = await cut.over;
    expect(results.has(1)).toBe(false);
    expect(failure?.kind).toBe("infrastructure");
  });
});
