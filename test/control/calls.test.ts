// What control takes and what it refuses; retries that wait; calls that wait for calls.

import { expect, test } from "vitest";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { answer, linkAgent } from "./agent-double.ts";
import {
  hostDigest,
  makePlace,
  makePublish,
  megabytes512,
  newId,
  openSession,
  publishAndLoad,
  resultOf,
  startCall,
  startControl,
} from "./harness.ts";

const waiting = (id: string) => (value: { call?: CallInfo | undefined }) =>
  value.call?.id === id && value.call.state === "queued" && value.call.againAtMs > 0;

test("a retry waits as the function says, is told meanwhile, outlives control, and a wait can be cancelled", async () => {
  using place = makePlace();
  let id = "";
  {
    await using _control = await startControl(place);
    using session = openSession(place.socket);
    using _agent = linkAgent(place.socket, { dispatch: (self, dispatch) => self.fail(dispatch, "exception") });
    const backoff = { delayMs: 400, factor: 2, maxDelayMs: 60_000 };
    const patient = { delayMs: 3_600_000, factor: 1, maxDelayMs: 3_600_000 };
    await publishAndLoad(
      session,
      makePublish("v1", [
        { name: "flaky", retries: 2, backoff },
        { name: "slow", retries: 2, backoff: patient },
      ]),
    );
    id = session.call("flaky");
    const { call } = await session.next("call", waiting(id));
    expect(call).toMatchObject({ attempt: 1, attempts: [{ number: 1, kind: "exception", message: "it failed: exception" }] });
    expect(call!.againAtMs - call!.attempts[0]!.endedAtMs).toBe(400);
    const slow = session.call("slow");
    await session.next("call", waiting(slow));
    session.send({ $case: "cancel", value: { call: slow } });
    expect(await session.outcome(slow)).toMatchObject({ state: "cancelled", attempt: 1 });
  }
  await using _control = await startControl(place);
  using session = openSession(place.socket, { calls: [id] });
  using agent = linkAgent(place.socket, { dispatch: (self, dispatch) => self.fail(dispatch, "exception") });
  const call = await session.outcome(id);
  expect(call).toMatchObject({ state: "failed", attempt: 3 });
  const [first, second] = call.attempts;
  expect(call.attempts.map(({ number }) => number)).toEqual([1, 2]);
  expect((await agent.dispatchOf(id, 3)).attempt).toBe(3);
  expect(second!.startedAtMs - first!.endedAtMs).toBeGreaterThanOrEqual(399);
  expect(call.finishedAtMs - second!.endedAtMs).toBeGreaterThanOrEqual(799);
});

test("what is more than a limit is refused with a status that names the limit, its value and the remedy, and room comes back", async () => {
  using place = makePlace();
  const limits = { "calls-per-app": 3, calls: 4, "call-bytes": 1_000, "children-per-call": 2, "call-depth": 1, sessions: 2 };
  await using _control = await startControl(place, { limits });
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch() {} });
  await publishAndLoad(session, makePublish("v1", [{ name: "hold" }]));
  await publishAndLoad(session, makePublish("v1", [{ name: "hold" }], { id: 2, app: "other" }));
  const refusal = async (id: string) => {
    const { state, failure, number } = await session.outcome(id);
    expect({ state, number, kind: failure?.kind }).toEqual({ state: "failed", number: expect.any(Number), kind: "exhausted" });
    return failure!.message;
  };
  const held = [1, 2].map((n) => session.call("hold", [n]));
  expect(await refusal(session.call("hold", ["x".repeat(2_000)]))).toBe(
    "shop/hold was not called: the limit call-bytes of 1,000 bytes of arguments that unfinished calls hold is reached: wait until some have finished, or pass less",
  );
  const first = await agent.dispatchOf(held[0]!);
  held.push(session.call("hold", [3]));
  expect(await refusal(session.call("hold"))).toMatch(/the limit calls-per-app of 3 unfinished calls of an app is reached: wait/);
  session.call("hold", [], { app: "other" });
  expect(await refusal(session.call("hold", [], { app: "other" }))).toMatch(/the limit calls of 4 unfinished calls is reached/);
  for (const id of held.slice(1)) session.send({ $case: "cancel", value: { call: id } });
  await session.outcome(held[2]!);
  const child = session.call("hold", [], { parent: held[0]!, origin: "function" });
  expect(await refusal(session.call("hold", [], { parent: child, origin: "function" }))).toMatch(
    /the limit call-depth of 1 calls that wait for one another in a chain is reached: look for a recursion/,
  );
  agent.succeed(first);
  expect(await session.outcome(child)).toMatchObject({ state: "cancelled" });
  const last = session.call("hold");
  await agent.dispatchOf(last);
  using _second = openSession(place.socket);
  using third = openSession(place.socket);
  expect(await third.failed).toMatchObject({
    kind: "exhausted",
    message: "this session was not opened: the limit sessions of 2 sessions of clients is reached: close some of them",
  });
});

test("a call of a call of a call: full of parents that wait, functions that may have one container each still answer", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const deepest = 20;
  const fan = 3;
  using agent = linkAgent(place.socket, {
    async dispatch(self, dispatch) {
      if (dispatch.load) self.loaded(dispatch.load);
      const [depth] = JSON.parse(dispatch.arguments!.positional.toString()) as [number];
      // The deepest calls fan out; each of the others waits for one of the other app, which has one container as well.
      const ids = Array.from({ length: depth === 0 ? 0 : depth === 1 ? fan : 1 }, newId);
      for (const id of ids) {
        const more = { app: depth % 2 === 0 ? "shop" : "other", parent: dispatch.call, origin: "function" };
        self.send({ $case: "child", value: startCall(id, "deep", [depth - 1], more) });
      }
      let sum = 1;
      for (const id of ids) {
        const command = await self.commands.of((item) => item.$case === "childFinished" && item.value.call?.id === id);
        if (command.$case === "childFinished") sum += Number(command.value.call!.result!.json.toString());
      }
      self.succeed(dispatch, sum);
    },
  });
  await publishAndLoad(session, makePublish("v1", [{ name: "deep", maxContainers: 1 }]));
  await publishAndLoad(session, makePublish("v1", [{ name: "deep", maxContainers: 1 }], { id: 2, app: "other" }));
  const results = await Promise.all([1, 2].map(async () => resultOf(await session.outcome(session.call("deep", [deepest])))));
  expect(results).toEqual([deepest + fan, deepest + fan]);
  expect(agent.commands.all.filter(({ $case }) => $case === "dispatch")).toHaveLength(2 * (deepest + fan));
});

test("what a function spawned waits for its place like any call, until the function waits for it, and outlives the function", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch: (self, { load }) => load && self.loaded(load) });
  await publishAndLoad(session, makePublish("v1", [{ name: "chain", maxContainers: 1 }]));
  const parent = session.call("chain");
  const running = await agent.dispatchOf(parent);
  const child = newId();
  agent.send({ $case: "child", value: startCall(child, "chain", [], { parent, origin: "spawn" }) });
  const other = session.call("chain", [], { origin: "function" });
  await session.next("call", ({ call }) => call?.id === other);
  const dispatched = () => agent.commands.all.flatMap((item) => (item.$case === "dispatch" ? [item.value.call] : []));
  expect(dispatched()).toEqual([parent]);
  agent.send({ $case: "awaited", value: { call: child } });
  const second = await agent.dispatchOf(child);
  expect(second.container).not.toBe(running.container);
  agent.succeed(running);
  await session.outcome(parent);
  agent.succeed(second, "after its parent");
  await agent.commands.of((item) => item.$case === "childFinished" && item.value.call?.state === "succeeded");
  await agent.dispatchOf(other);
  expect(dispatched()).toEqual([parent, child, other]);
});

test("an agent that does not read holds up its own calls and nobody else's", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const container = ContainerInfo.fromPartial({
    id: "a1b2c3d4",
    image: hostDigest,
    resourceClass: { memoryBytes: megabytes512, language: "python", network: "internet" },
    state: "warm",
  });
  using slow = linkAgent(place.socket, { name: "slow", containers: [container], pools: false, dispatch() {} });
  await publishAndLoad(session, makePublish("v1", [{ name: "hold", maxContainers: 1 }]));
  const stuck = session.call("hold", ["x".repeat(900_000)]);
  await slow.dispatchOf(stuck);
  slow.pause();
  for (let n = 0; n < 20; n++) session.call("hold", ["x".repeat(900_000)]);
  using _quick = linkAgent(place.socket, { name: "quick", dispatch: answer });
  const other = makePublish("v1", [{ name: "quick" }], { id: 2, app: "other" });
  session.send({ $case: "publish", value: other });
  const call = await session.outcome(session.call("quick", [7], { app: "other" }));
  expect(call).toMatchObject({ state: "succeeded", node: "quick" });
});
