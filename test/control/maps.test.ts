// Maps as clients and agents see them: results once each, in either order, whatever dies on the way; memory bounded, and others served.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { DispatchInputs } from "../../proto/gen/hob/v1/agents.ts";
import { CallsClient } from "../../proto/gen/hob/v1/calls.ts";
import { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import type { ListMapsResponse } from "../../proto/gen/hob/v1/maps.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { type AgentScript, answerInputs, finishInputs, linkAgent, type TestAgent } from "./agent-double.ts";
import {
  hostDigest,
  kill,
  makePlace,
  makePublish,
  megabytes512,
  openSession,
  publishAndLoad,
  resultOf,
  spawnControl,
  startControl,
} from "./harness.ts";
import { openMap, valuesOf } from "./map-client.ts";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const batchesOf = (agent: TestAgent): DispatchInputs[] =>
  agent.commands.all.flatMap((command) => (command.$case === "inputs" ? [command.value] : []));
const batch = async (agent: TestAgent, matches: (batch: DispatchInputs) => boolean = () => true): Promise<DispatchInputs> =>
  (await agent.commands.of((item) => item.$case === "inputs" && matches(item.value))).value as DispatchInputs;

async function start(script: AgentScript = {}, wish: { retries?: number; maxContainers?: number } = {}) {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(makePlace());
  stack.use(await startControl(place));
  const session = stack.use(openSession(place.socket));
  const agent = stack.use(linkAgent(place.socket, script));
  await publishAndLoad(session, makePublish("v1", [{ name: "price", ...wish }]));
  const life = stack.move();
  return { socket: place.socket, session, agent, [Symbol.asyncDispose]: () => life.disposeAsync() };
}

test("a map gives each input's result once, in order or as they come, and tells who watches how far it is", async () => {
  await using world = await start();
  world.session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  using ordered = openMap(world.socket, { ordered: true });
  using loose = openMap(world.socket);
  await Promise.all([ordered.feed(upTo(5_000)), loose.feed(upTo(5_000))]);
  const infos = await Promise.all([ordered.finished(), loose.finished()]);
  for (const info of infos) expect(info).toMatchObject({ state: "succeeded", inputs: 5_000, succeeded: 5_000, failed: 0 });
  expect(ordered.results.map(({ index }) => index)).toEqual(upTo(5_000));
  expect(valuesOf(loose.results)).toEqual(upTo(5_000));
  const counts = batchesOf(world.agent).map(({ count }) => count);
  expect(counts[0]).toBe(1);
  expect(Math.max(...counts)).toBeGreaterThan(100);
  await world.session.next("map", ({ id, state, succeeded }) => id === loose.id && state === "succeeded" && succeeded === 5_000);
  expect((await listMaps(world.socket)).map(({ id }) => id).sort()).toEqual([ordered.id, loose.id].sort());
});

test("inputs that fail are tried again as their function says, and one that kills its container fails alone", async () => {
  const tries = new Map<unknown, number>();
  const outcome = (value: unknown) => {
    tries.set(value, (tries.get(value) ?? 0) + 1);
    const fails = value === 7 || (value === 8 && tries.get(8)! < 3);
    return fails ? { failure: { kind: "exception", message: `no ${value}` } } : { value: { json: Buffer.from(`${value}`) } };
  };
  const inputs = (self: TestAgent, dispatch: DispatchInputs) => {
    if (dispatch.inputs.includes("[600]")) self.lose(dispatch.container);
    else answerInputs(self, dispatch, outcome);
  };
  await using world = await start({ inputs }, { retries: 2 });
  using map = openMap(world.socket, { ordered: true });
  await map.feed(upTo(1_000));
  expect(await map.finished()).toMatchObject({ state: "succeeded", succeeded: 998, failed: 2 });
  const failed = map.results.filter(({ failure }) => failure);
  expect(failed.map(({ index, failure }) => [index, failure!.kind])).toEqual([
    [7, "exception"],
    [600, "infrastructure"],
  ]);
  expect(failed[1]!.failure!.message).toMatch(/^price: container [0-9a-f]{8} on node-1 was lost: it was killed$/);
  expect([tries.get(7), tries.get(8), tries.get(9)]).toEqual([3, 3, 1]);
});

test("code that does not load fails the map as a whole; a cancel ends it everywhere; what ended is told to who comes back", async () => {
  await using world = await start({ inputs() {} });
  using broken = openMap(world.socket);
  await broken.feed(upTo(10));
  const first = await batch(world.agent);
  const failure = { kind: "load", type: "", message: "no such module", traceback: "", frames: [] };
  finishInputs(world.agent, first, [], { last: true, failure });
  expect(await broken.finished()).toMatchObject({ state: "failed", failure: { message: "no such module" } });
  using map = openMap(world.socket);
  await map.feed(upTo(10));
  const running = await batch(world.agent, (one) => one.map === map.id);
  map.send({ $case: "cancel", value: {} });
  expect(await map.finished()).toMatchObject({ state: "cancelled", succeeded: 0 });
  await world.agent.commands.of((item) => item.$case === "cancelInputs" && item.value.batch === running.batch);
  using again = openMap(world.socket, { id: map.id, resume: true });
  expect(await again.finished()).toMatchObject({ state: "cancelled" });
  using unknown = openMap(world.socket, { resume: true });
  expect(((await unknown.failed) as Error).message).toMatch(/^map [0-9a-f]{16} is not known/);
  using misspelt = openMap(world.socket, { function: "prise" });
  expect(((await misspelt.failed) as Error).message).toContain("did you mean price?");
});

test("control killed in the middle of a map: client and node come back, and each input has one result", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  const early: number[] = [];
  let position = 0;
  let id = "";
  {
    using session = openSession(place.socket);
    let answered = 0;
    using agent = linkAgent(place.socket, {
      inputs(self, dispatch) {
        answered += dispatch.count;
        if (answered < 3_000) answerInputs(self, dispatch);
      },
    });
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    using map = openMap(place.socket, { ordered: true, detached: true });
    id = map.id;
    await map.feed(upTo(8_000), false);
    await map.arrivals.of((event) => event.$case === "results" && event.value.position > 1_000);
    await kill(first);
    ({ position } = map);
    early.push(...map.results.map(({ index }) => index));
    expect(batchesOf(agent).length).toBeGreaterThan(3);
  }
  const second = await spawnControl(place);
  try {
    using _agent = linkAgent(place.socket);
    using map = openMap(place.socket, { id, resume: true, ordered: true, position });
    await map.feed(upTo(10_000));
    expect(await map.finished()).toMatchObject({ state: "succeeded", inputs: 10_000, succeeded: 10_000 });
    expect([...early, ...map.results.map(({ index }) => index)]).toEqual(upTo(10_000));
    using all = openMap(place.socket, { id, resume: true });
    await all.finished();
    expect(valuesOf(all.results)).toEqual(upTo(10_000));
  } finally {
    await kill(second);
  }
});

test("inputs that a node still runs when control comes back are not run again", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  let held: DispatchInputs;
  {
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket, { inputs() {} });
    await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 1 }]));
    using map = openMap(place.socket, { detached: true });
    await map.feed(upTo(3));
    held = await batch(agent);
    await kill(first);
  }
  const second = await spawnControl(place);
  try {
    const resourceClass = { cpu: 0, memoryBytes: megabytes512, language: "python", gpu: "", network: "internet" };
    const { batch: name, container: id } = held;
    const info = { id, image: hostDigest, resourceClass, state: "specialised", app: "shop", calls: [name] };
    using agent = linkAgent(place.socket, { calls: [name], containers: [ContainerInfo.fromPartial(info)] });
    using map = openMap(place.socket, { id: held.map, resume: true });
    await agent.commands.of((item) => item.$case === "pools");
    answerInputs(agent, held, () => ({ value: { json: Buffer.from('"kept"') } }));
    await map.feed(upTo(3)); // the first control may have been killed before it had recorded that these are all
    await map.finished();
    expect(map.results.map(({ value }) => value!.json.toString()).filter((text) => text === '"kept"')).toHaveLength(held.count);
    expect(batchesOf(agent).some(({ inputs }) => inputs.includes("[0]"))).toBe(false);
  } finally {
    await kill(second);
  }
});

test("a client that never reads costs no memory of control, and everybody else is served meanwhile", async () => {
  using place = makePlace();
  const control = await spawnControl(place);
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${control.pid}/status`, "utf8"))![1]) / 1024;
  try {
    using session = openSession(place.socket);
    const large = { value: { json: Buffer.from(JSON.stringify("x".repeat(4_000))) } };
    using _agent = linkAgent(place.socket, { inputs: (self, dispatch) => answerInputs(self, dispatch, () => large) });
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    using warm = openMap(place.socket);
    await warm.feed(upTo(500));
    await warm.finished();
    const before = rss();
    using map = openMap(place.socket, { detached: true });
    await map.feed(upTo(40_000));
    map.stream.pause();
    session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
    await session.next("map", ({ id, succeeded }) => id === map.id && succeeded === 40_000);
    expect(rss() - before).toBeLessThan(77); // MiB, of 154 that the results have
    expect(resultOf(await session.outcome(session.call("price", [1])))).toBe(1);
    map.stream.resume();
    expect(await map.finished()).toMatchObject({ state: "succeeded", succeeded: 40_000 });
    expect(new Set(map.results.map(({ index }) => index)).size).toBe(40_000);
  } finally {
    await kill(control);
  }
});

test("a call that maps in a full pool has room for its inputs, and they end with it", async () => {
  await using world = await start({ dispatch() {}, inputs() {} }, { maxContainers: 1 });
  const parent = world.session.call("price");
  const attempt = await world.agent.dispatchOf(parent);
  using map = openMap(world.socket, { parent, origin: "function" });
  await map.feed(upTo(5));
  const child = await batch(world.agent);
  expect(child.container).not.toBe(attempt.container);
  world.agent.succeed(attempt, "done without them");
  expect(await map.finished()).toMatchObject({ state: "cancelled", failure: { kind: "cancelled" } });
  await world.agent.commands.of((item) => item.$case === "cancelInputs" && item.value.batch === child.batch);
  using late = openMap(world.socket, { parent, origin: "function" });
  expect(((await late.failed) as Error).message).toBe("price was not mapped: what asked for it has ended");
});

function listMaps(socket: string): Promise<ListMapsResponse["maps"]> {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  return new Promise<ListMapsResponse["maps"]>((resolve, reject) => {
    client.listMaps({ app: "shop", id: "", limit: 10 }, (error, { maps }) => (error ? reject(error) : resolve(maps)));
  }).finally(() => client.close());
}
