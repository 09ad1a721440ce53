// Control is killed with -9 at random instants while calls run: what it has acknowledged has one outcome, and none is lost.

import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as after } from "node:timers/promises";
import { expect, test } from "vitest";
import { entryFile } from "../../base/install.ts";
import { silentLog } from "../../base/log.ts";
import { openPoolCaller } from "../../project/pool-caller.ts";
import type { Dispatch } from "../../proto/gen/hob/v1/agents.ts";
import { type CallInfo, CallsClient, ListCallsRequest } from "../../proto/gen/hob/v1/calls.ts";
import { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { linkAgent, type TestAgent } from "./agent-double.ts";
import { kill, makePlace, makePublish, openSession, type Place, publishAndLoad } from "./harness.ts";

/** Two pools at a time, for a start of control takes one core. */
const pools = 2;
const killsEach = 25;
const inFlight = 24;
const longestLifeMs = 160;
const finalStates = ["succeeded", "failed", "cancelled"];

function startControl({ socket, state }: Place): ChildProcess {
  const argv = [entryFile("cli/main"), "control", "--listen", `unix:${socket}`, "--state", state];
  return spawn(process.execPath, argv, {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, HOB_LOG_LEVEL: "fatal" },
  });
}

async function serving({ socket }: Place): Promise<void> {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  await new Promise<void>((resolve, reject) =>
    client.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve())),
  );
  client.close();
}

/** A node that outlives controls: it keeps its containers and what runs in them, and says so to the next one. */
function createNode(place: Place): { link(): void; cut(): void; runs: Map<string, number> } {
  const running = new Map<string, Dispatch>();
  const runs = new Map<string, number>(); // attempts made, by call
  let containers: ContainerInfo[] = [];
  let agent: TestAgent | undefined;

  function answer(dispatch: Dispatch): void {
    if (!agent || running.get(dispatch.call) !== dispatch) return; // kept for the next control
    running.delete(dispatch.call);
    const [number] = JSON.parse(dispatch.arguments!.positional.toString()) as [number];
    const attempt = runs.get(dispatch.call)!;
    // Every seventh call fails at its first try; its retry waits.
    if (number % 7 === 0 && attempt === 1) agent.fail(dispatch, "exception");
    else agent.succeed(dispatch, number);
  }

  return {
    runs,
    link() {
      for (const container of containers)
        container.calls = [...running.values()].filter((d) => d.container === container.id).map((d) => d.call);
      agent = linkAgent(place.socket, {
        calls: [...running.keys()],
        containers,
        dispatch(self, dispatch) {
          if (dispatch.load) self.loaded(dispatch.load);
          running.set(dispatch.call, dispatch);
          runs.set(dispatch.call, (runs.get(dispatch.call) ?? 0) + 1);
          setTimeout(() => answer(dispatch), Math.random() * 20);
        },
      });
      const held = [...running.values()];
      void agent.commands
        .of((item) => item.$case === "pools")
        .then(
          () => held.forEach(answer),
          () => {},
        );
    },
    cut() {
      containers = agent ? [...agent.containers.values()].map((info) => ContainerInfo.fromPartial(info)) : containers;
      agent?.[Symbol.dispose]();
      agent = undefined;
    },
  };
}

async function listCalls({ socket }: Place): Promise<CallInfo[]> {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  try {
    return await new Promise((resolve, reject) =>
      client.listCalls(ListCallsRequest.fromPartial({ limit: 10_000 }), (error, { calls }) =>
        error ? reject(error) : resolve(calls),
      ),
    );
  } finally {
    client.close();
  }
}

async function killAgainAndAgain(): Promise<{ calls: number; attempts: number }> {
  using place = makePlace();
  const node = createNode(place);
  let control = startControl(place);
  await serving(place);
  node.link();
  {
    using session = openSession(place.socket, { build: "" });
    await publishAndLoad(
      session,
      makePublish("v1", [{ name: "price", retries: 1, backoff: { delayMs: 30, factor: 1, maxDelayMs: 30 } }]),
    );
  }
  const acknowledged = new Set<string>();
  const told = new Map<string, Set<string>>(); // by call: what it was said to have come to
  await using caller = openPoolCaller({
    ...{ client: "test", build: "", log: silentLog, connect: async () => unixAddress(place.socket) },
    ...{ output() {}, notice() {}, link() {} },
    progress(call) {
      acknowledged.add(call.id);
      if (finalStates.includes(call.state))
        told.set(call.id, (told.get(call.id) ?? new Set()).add(`${call.state} ${call.result?.json}`));
    },
  });
  const results = new Map<string, Promise<[number, CallInfo]>>();
  let over = false;
  const callers = Array.from({ length: inFlight }, async (_, lane) => {
    for (let number = lane; !over; number += inFlight) {
      const { id, finished } = caller.call("shop", "price", { positional: [number], keywords: {} });
      results.set(
        id,
        finished.then((call) => [number, call]),
      );
      await finished;
    }
  });
  try {
    for (let n = 0; n < killsEach; n++) {
      await after(Math.random() * longestLifeMs);
      await kill(control);
      node.cut();
      control = startControl(place);
      await serving(place);
      node.link();
    }
    over = true;
    await Promise.all(callers);
    const listed = new Map((await listCalls(place)).map((call) => [call.id, call]));
    for (const [id, finished] of results) {
      const [number, call] = await finished;
      expect([call.state, call.result?.json.toString()], call.failure?.message).toEqual(["succeeded", String(number)]);
      expect([...told.get(id)!]).toEqual([`succeeded ${number}`]);
      expect(listed.get(id)).toMatchObject({ state: "succeeded", number: call.number });
    }
    expect([...acknowledged].filter((id) => !listed.has(id))).toEqual([]);
    expect(new Set([...listed.values()].map((call) => call.number)).size).toBe(listed.size);
    expect(results.size).toBeGreaterThan(killsEach * 2);
    return { calls: results.size, attempts: [...node.runs.values()].reduce((a, b) => a + b) };
  } finally {
    over = true;
    await kill(control);
  }
}

test(`control killed ${pools * killsEach} times while calls run: each call that it has acknowledged has exactly one outcome`, {
  timeout: 120_000,
}, async () => {
  const seen = await Promise.all(Array.from({ length: pools }, killAgainAndAgain));
  for (const { calls, attempts } of seen) process.stderr.write(`kills: ${killsEach} in ${calls} calls, ${attempts} attempts\n`);
});
