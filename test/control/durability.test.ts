// What happens to calls when something dies: containers, nodes, control itself; and when the disk is full.

import { spawnSync } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CallsClient, ListCallsRequest } from "../../proto/gen/hob/v1/calls.ts";
import { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { answer, linkAgent } from "./agent-double.ts";
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
  startCall,
  startControl,
} from "./harness.ts";

test("a failing call is tried again as often as its function says, and no more", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch: (self, dispatch) => self.fail(dispatch, "exception") });
  await publishAndLoad(session, makePublish("v1", [{ name: "flaky", retries: 2 }]));
  const call = await session.outcome(session.call("flaky"));
  expect(call).toMatchObject({ state: "failed", attempt: 3, failure: { kind: "exception" } });
  expect(agent.commands.all.filter((command) => command.$case === "dispatch")).toHaveLength(3);
});

test("a call whose container dies runs again elsewhere, without using up a retry, but not for ever", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch: (self, dispatch) => self.lose(dispatch.container) });
  await publishAndLoad(session, makePublish("v1", [{ name: "deadly" }]));
  const call = await session.outcome(session.call("deadly"));
  expect(call).toMatchObject({ state: "failed", attempt: 4, failure: { kind: "infrastructure" } });
  expect(call.failure!.message).toMatch(/^container [0-9a-f]{8} on node-1 was lost: it was killed$/);
  const used = agent.commands.all.flatMap((command) => (command.$case === "dispatch" ? [command.value.container] : []));
  expect(new Set(used).size).toBe(4);
});

test("a node that is lost in the middle of a call: the call finishes on another", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const first = linkAgent(place.socket, { name: "node-1", dispatch() {} });
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  const id = session.call("price", [3]);
  await first.dispatchOf(id);
  using second = linkAgent(place.socket, { name: "node-2" });
  first[Symbol.dispose]();
  const call = await session.outcome(id);
  expect(call).toMatchObject({ state: "succeeded", node: "node-2", attempt: 2 });
  expect(resultOf(call)).toBe(3);
  expect((await second.dispatchOf(id, 2)).load).toBeDefined();
  expect((await session.next("notice")).text).toBe("node node-1 is gone: its agent is not connected any more");
});

test("a late result of an attempt that was given up counts, and the first result stays", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch() {} });
  await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 1 }]));
  const id = session.call("price");
  const attempt = await agent.dispatchOf(id);
  agent.lose(attempt.container);
  const again = await agent.dispatchOf(id, 2);
  agent.succeed(attempt, "late");
  agent.succeed(again, "second");
  expect(resultOf(await session.outcome(id))).toBe("late");
  await agent.commands.of((item) => item.$case === "cancel" && item.value.call === id);
  session.send({ $case: "call", value: startCall(id, "price") }); // the same call again only hears what became of it
  await session.next("call", ({ call }) => call?.id === id && session.arrivals.all.at(-1)!.$case === "call");
  const outcomes = session.arrivals.all.flatMap((event) => (event.$case === "call" ? [event.value.call!] : []));
  expect(outcomes.filter((call) => call.state === "succeeded").map(resultOf)).not.toContain("second");
});

test("a cancelled call ends at once, running or queued, and its container is used again only when it has answered", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { dispatch() {} });
  await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 1 }]));
  const [running, queued, next] = [session.call("price"), session.call("price"), session.call("price")];
  const dispatch = await agent.dispatchOf(running);
  session.send({ $case: "cancel", value: { call: running } });
  session.send({ $case: "cancel", value: { call: queued } });
  expect((await session.outcome(running)).state).toBe("cancelled");
  expect((await session.outcome(queued)).state).toBe("cancelled");
  await agent.commands.of((item) => item.$case === "cancel" && item.value.call === running);
  expect(agent.commands.all.filter((item) => item.$case === "dispatch")).toHaveLength(1);
  agent.fail(dispatch, "cancelled");
  expect((await agent.dispatchOf(next)).container).toBe(dispatch.container);
});

test("control killed and started again on its state: queued and running calls complete, each recorded once", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  const ids: string[] = [];
  {
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket, { dispatch() {} });
    await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 2 }]));
    for (let i = 0; i < 50; i++) ids.push(session.call("price", [i], { origin: "map" }));
    await agent.dispatchOf(ids[1]!);
    await session.next("call", ({ call }) => call?.id === ids[49]);
    await kill(first);
  }
  const second = await spawnControl(place);
  try {
    using session = openSession(place.socket, { calls: ids });
    using _agent = linkAgent(place.socket); // knows of no call: what ran is run again
    const calls = await Promise.all(ids.map((id) => session.outcome(id)));
    expect(calls.map(resultOf)).toEqual(ids.map((_, i) => i));
    expect(calls.map((call) => call.number)).toEqual(ids.map((_, i) => i + 1));
    expect(calls.map((call) => call.attempt)).toEqual(ids.map((_, i) => (i < 2 ? 2 : 1)));
    const listed = await listCalls(place.socket);
    expect(listed.map((call) => call.id).sort()).toEqual([...ids].sort());
    expect(new Set(listed.map((call) => call.state))).toEqual(new Set(["succeeded"]));
  } finally {
    await kill(second);
  }
});

test("a call that its node still runs when control comes back is not run again", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  let id = "";
  let container = "";
  {
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket, { dispatch() {} });
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    id = session.call("price");
    container = (await agent.dispatchOf(id)).container;
    await session.next("call", ({ call }) => call?.state === "running");
    await kill(first);
  }
  const second = await spawnControl(place);
  try {
    using session = openSession(place.socket, { calls: [id] });
    const resourceClass = { cpu: 0, memoryBytes: megabytes512, language: "python", gpu: "", network: "internet" };
    const info = { id: container, image: hostDigest, resourceClass, state: "specialised", app: "shop", calls: [id] };
    using agent = linkAgent(place.socket, { calls: [id], containers: [ContainerInfo.fromPartial(info)] });
    await agent.commands.of((item) => item.$case === "pools");
    agent.send({
      $case: "finished",
      value: {
        call: id,
        container,
        attempt: 1,
        result: { json: Buffer.from('"kept"'), large: undefined },
        failure: undefined,
        loadMs: 0,
        runMs: 1,
        droppedBytes: 0,
        peakMemoryBytes: 0,
      },
    });
    const call = await session.outcome(id);
    expect(call.attempt).toBe(1);
    expect(resultOf(call)).toBe("kept");
    expect(agent.commands.all.some((item) => item.$case === "dispatch")).toBe(false);
  } finally {
    await kill(second);
  }
});

// A container of the one function was taken for one of the other: calls came without their code, and failed with "has not been loaded here".
test("a container that is linked again is its own functions', not those of others with the same needs", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const publish = makePublish("v1", [{ name: "price" }, { name: "shout", concurrency: 4 }]);
  session.send({ $case: "publish", value: publish });
  await session.next("published");
  const resourceClass = { cpu: 0, memoryBytes: megabytes512, language: "python", gpu: "", network: "internet" };
  const has = { app: "shop", snapshots: [publish.snapshot!.digest], functions: ["shout"] };
  const info = { id: "0000000a", image: hostDigest, resourceClass, state: "specialised", ...has };
  using agent = linkAgent(place.socket, { pools: false }); // no other container
  await agent.commands.of((item) => item.$case === "pools"); // its image is known
  agent.send({ $case: "container", value: { container: ContainerInfo.fromPartial(info), gone: false, reason: "" } });
  session.send({ $case: "watch", value: { apps: [], fleet: true } });
  await session.next("fleet", ({ nodes }) => nodes[0]?.containers.some(({ id }) => id === info.id) === true);
  const [price, shout] = [session.call("price"), session.call("shout")];
  const { container, load } = await agent.dispatchOf(shout);
  expect([container, load]).toEqual([info.id, undefined]);
  expect(agent.commands.all.some((item) => item.$case === "dispatch" && item.value.call === price)).toBe(false);
});

test("what was published just before control was killed is there when it comes back", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  const publish = makePublish("v1", [{ name: "price" }]);
  {
    using session = openSession(place.socket);
    session.send({ $case: "publish", value: publish });
    await session.next("published");
    await kill(first);
  }
  await rm(place.store, { recursive: true }); // as if none of the content had reached the folder
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  expect((await session.outcome(session.call("price", [1]))).state).toBe("succeeded");
  expect(agent.commands.all.some((item) => item.$case === "dispatch" && item.value.load!.snapshot!.changed.length === 1)).toBe(
    true,
  );
});

test("two controls never share one state: the second says who holds it", async () => {
  using place = makePlace();
  const first = await spawnControl(place);
  try {
    const second = startControl({ ...place, socket: join(place.folder, "other.sock") });
    await expect(second).rejects.toThrow(`a control is running on this state already (pid ${first.pid})`);
  } finally {
    await kill(first);
  }
});

test("a socket that somebody answers on is refused, one that nobody answers on is replaced", async () => {
  using place = makePlace();
  mkdirSync(join(place.folder, "run"));
  const other = createServer((connection) => connection.destroy()).listen(place.socket);
  await expect(startControl(place)).rejects.toThrow("another control answers there");
  await new Promise((resolve) => other.close(resolve));
  writeFileSync(place.socket, "");
  await rm(place.socket);
  const killed = await spawnControl(place);
  await kill(killed); // leaves its socket file behind
  expect(statSync(place.socket).isSocket()).toBe(true);
  await using _control = await startControl(place);
  expect(statSync(place.socket).mode & 0o777).toBe(0o600);
  expect(statSync(join(place.folder, "run")).mode & 0o777).toBe(0o711);
});

async function listCalls(socket: string) {
  const client = new CallsClient(unixAddress(socket), clientCredentials(unixAddress(socket)), channelOptions);
  const calls = await new Promise<import("../../proto/gen/hob/v1/calls.ts").CallInfo[]>((resolve, reject) => {
    const request = ListCallsRequest.fromPartial({ limit: 1_000 });
    client.listCalls(request, (error, response) => (error ? reject(error) : resolve(response.calls)));
  });
  client.close();
  return calls;
}

const canMount = process.getuid?.() === 0;
if (!canMount) console.warn("skipped: a full disk is made with a small tmpfs, which needs root");

describe.skipIf(!canMount)("on a full disk", () => {
  test("new work is refused with a sentence, and what was accepted goes on once there is space", async () => {
    using place = makePlace();
    mkdirSync(place.state);
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", place.state]);
    expect(mount.status, mount.stderr.toString()).toBe(0);
    try {
      await using _control = await startControl(place);
      using session = openSession(place.socket);
      using agent = linkAgent(place.socket, { dispatch() {} });
      await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 1 }]));
      const waits = session.call("price", ["kept"]);
      const dispatch = await agent.dispatchOf(waits);
      const free = join(place.state, "filler");
      fillDisk(free);
      const accepted = session.call("price", ["x".repeat(300_000)]);
      const { text } = await session.next("notice", ({ level }) => level === "error");
      expect(text).toMatch(/^recording in .*control\.db: the disk is full: free some space/);
      const refused = await session.outcome(session.call("price"));
      expect(refused).toMatchObject({ state: "failed", failure: { kind: "infrastructure" } });
      expect(refused.failure!.message).toMatch(/^price was not called: recording in .*: the disk is full/);
      agent.succeed(dispatch, "kept");
      await rm(free);
      expect(resultOf(await session.outcome(waits))).toBe("kept");
      const again = await agent.dispatchOf(accepted);
      answer(agent, again);
      expect((await session.outcome(accepted)).state).toBe("succeeded");
      const later = session.call("price");
      answer(agent, await agent.dispatchOf(later));
      expect((await session.outcome(later)).state).toBe("succeeded");
    } finally {
      spawnSync("umount", [place.state]);
    }
  });
});

function fillDisk(path: string): void {
  const result = spawnSync("dd", ["if=/dev/zero", `of=${path}`, "bs=4k"]);
  expect(result.stderr.toString()).toContain("No space left on device");
}
