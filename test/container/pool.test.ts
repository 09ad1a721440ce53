// ④⑤ Pools as functions ask for them, on real parts: control with its agent, runc, runners. One pool for all; the last test ends it.

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CallsClient, ListCallsRequest, LogsRequest } from "../../proto/gen/hob/v1/calls.ts";
import type { LogLine } from "../../proto/gen/hob/v1/common.ts";
import { type ContainerInfo, FleetClient, type FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import {
  Arrivals,
  makePlace,
  makePublish,
  openSession,
  publishAndLoad,
  type RunningControl,
  startControl,
  type TestSession,
} from "../control/harness.ts";
import { cannotRun } from "./agent-process.ts";

const source = `
import os, time
import hob

app = hob.App("shop")

def held(x):
    print("holds", x, flush=True)
    deadline = time.monotonic() + 20
    while not os.path.exists("/tmp/let go") and time.monotonic() < deadline:
        time.sleep(0.01)
    return x

def together(x, count):
    open(f"/tmp/here {x}", "w").close()
    deadline = time.monotonic() + 10
    while sum(os.path.exists(f"/tmp/here {i}") for i in range(count)) < count:
        if time.monotonic() > deadline:
            return "alone"
        time.sleep(0.01)
    return "together"

def kept(x):
    return x

@app.cls()
class Model:
    @hob.exit()
    def leave(self):
        print("left in order", flush=True)

    @hob.method()
    def slowly(self, x):
        print("slowly", flush=True)
        time.sleep(1)
        return x
`;

describe.skipIf(cannotRun)("a pool", () => {
  const place = makePlace();
  const run = mkdtempSync("/run/hob-test-");
  const key = randomBytes(4).toString("hex");
  const samples = new Arrivals<FleetSample>();
  const fleet = new FleetClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
  let control: RunningControl;
  let session: TestSession;
  let publishes = 0;

  const agentOptions = {
    ...{
      control: unixAddress(place.socket),
      name: "node-a",
      run: join(run, key),
      key,
      store: join(place.folder, "blobs of the node"),
    },
    ...{ state: join(place.folder, "logs"), embedded: true, build: "test", node: process.execPath },
  };
  const argv = ["unshare", "--mount", "--propagation", "private", process.execPath];
  const agent = { argv: [...argv, join(import.meta.dirname, "agent-entry.ts"), JSON.stringify(agentOptions)] };

  const containersOf = (sample: FleetSample | undefined): ContainerInfo[] =>
    sample?.nodes.flatMap((node) => node.containers) ?? [];
  const seen = (): ContainerInfo[] => containersOf(samples.all.at(-1));
  const python = (containers: ContainerInfo[], state: string): ContainerInfo[] =>
    containers.filter((one) => one.state === state && one.resourceClass?.language === "python");

  /** Of the samples from now on the first that fits. */
  async function fits(holds: (containers: ContainerInfo[]) => boolean): Promise<ContainerInfo[]> {
    const after = samples.all.at(-1)?.timeMs ?? 0;
    return containersOf(await samples.of((sample) => sample.timeMs > after && holds(containersOf(sample))));
  }

  /** Resolves with the snapshot's digest, once it is loaded somewhere. */
  async function publish(wish: Parameters<typeof makePublish>[1][number]): Promise<string> {
    const message = makePublish(`${source}# ${++publishes}`, [wish], { id: publishes });
    await publishAndLoad(session, message);
    return message.snapshot!.digest;
  }
  const resultOf = async (id: string): Promise<unknown> => {
    const { result, failure } = await session.outcome(id);
    if (failure) throw new Error(failure.message);
    return JSON.parse(result!.json.toString());
  };
  const saidBy = (text: string): Promise<unknown> =>
    session.next("logs", ({ lines }) => lines.some((line) => line.text === text));

  beforeAll(async () => {
    control = await startControl(place, { agent });
    session = openSession(place.socket);
    const watching = fleet.watchFleet({});
    watching.on("data", (sample: FleetSample) => samples.add(sample)).on("error", () => {}); // control ends at last
    await fits((containers) => python(containers, "warm").length === 2 && python(containers, "created").length === 2);
  }, 60_000);
  afterAll(async () => {
    session[Symbol.dispose]();
    fleet.close();
    await control[Symbol.asyncDispose]();
    place[Symbol.dispose]();
    rmSync(run, { recursive: true, force: true });
  });

  test("calls beyond the warm containers run in those of the reserve, and both are made up again", async () => {
    const before = seen();
    const reserve = python(before, "created").map(({ id }) => id);
    await publish({ name: "held" });
    const calls = [1, 2, 3, 4].map((x) => session.call("held", [x]));
    for (const x of [1, 2, 3, 4]) await saidBy(`holds ${x}`);
    const busy = await fits((containers) => containers.filter((one) => one.calls.length > 0).length === 4);
    const ran = busy.filter((one) => one.calls.length > 0).map(({ id }) => id);
    expect(reserve.filter((id) => ran.includes(id)).length).toBeGreaterThan(0);
    const again = await fits((containers) => python(containers, "warm").length > 2 && python(containers, "created").length === 2);
    expect(python(again, "warm").length).toBeLessThanOrEqual(2 + 4); // for those that were taken others stand ready
    for (const call of calls) session.send({ $case: "cancel", value: { call } });
  });

  test("a container takes as many calls at a time as its function says", async () => {
    await publish({ name: "together", maxContainers: 1, concurrency: 3 });
    const calls = [0, 1, 2].map((x) => session.call("together", [x, 3]));
    expect(await Promise.all(calls.map(resultOf))).toEqual(["together", "together", "together"]);
    const ran = await Promise.all(calls.map((id) => session.outcome(id)));
    expect(new Set(ran.map(({ container }) => container)).size).toBe(1);
  });

  test("the least and the buffer are there before anybody calls, and what is beyond them ends when it has been idle for its time", async () => {
    const having = (snapshot: string) => (containers: ContainerInfo[]) =>
      containers.filter((one) => one.state === "specialised" && one.snapshots.includes(snapshot));
    const kept = having(await publish({ name: "kept", minContainers: 2, idleTimeoutMs: 600 }));
    const two = kept(await fits((containers) => kept(containers).length === 2));
    expect(two.every(({ calls }) => calls.length === 0)).toBe(true);

    const buffered = having(await publish({ name: "held", bufferContainers: 1, idleTimeoutMs: 600 }));
    const call = session.call("held", [9]);
    await saidBy("holds 9");
    const both = buffered(await fits((containers) => buffered(containers).length === 2));
    expect(both.filter(({ calls }) => calls.includes(call))).toHaveLength(1);
    session.send({ $case: "cancel", value: { call } });
    const rest = await fits((containers) => buffered(containers).length === 1);
    expect(kept(rest)).toHaveLength(2);
  });

  test("a pool that ends lets calls finish, runs exit hooks, and records what came of them", async () => {
    await publish({ name: "Model.slowly", className: "Model" });
    const call = session.call("Model.slowly", [7]);
    await saidBy("slowly");
    await new Promise<void>((resolve, reject) =>
      fleet.shutdown({ patienceMs: 20_000 }, (error) => (error ? reject(error) : resolve())),
    );
    await control.ended;
    control = await startControl(place, { lingerMs: Number.POSITIVE_INFINITY });
    const client = new CallsClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
    const { calls } = await new Promise<{ calls: { state: string; attempt: number }[] }>((resolve, reject) =>
      client.listCalls(ListCallsRequest.fromPartial({ limit: 1, id: call }), (error, answer) =>
        error ? reject(error) : resolve(answer),
      ),
    );
    expect(calls).toMatchObject([{ state: "succeeded", attempt: 1 }]);
    const lines: string[] = [];
    for await (const { lines: batch } of client.logs(LogsRequest.fromPartial({ limit: 100 })))
      lines.push(...(batch as LogLine[]).map(({ text }) => text));
    expect(lines).toContain("left in order");
    client.close();
  });
});
