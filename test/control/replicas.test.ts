// Several controls of one pool on NATS: who is connected to any of them is served, and what one has acknowledged outlives it.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLog } from "../../base/log.ts";
import { parseNatsUrl } from "../../control/engine/nats/link.ts";
import { runControl } from "../../control/main.ts";
import { exportEmbedded, exportShared, importShared } from "../../control/transfer.ts";
import { openPoolCaller } from "../../project/pool-caller.ts";
import type { DispatchInputs } from "../../proto/gen/hob/v1/agents.ts";
import { CallsClient, ListCallsRequest } from "../../proto/gen/hob/v1/calls.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { type NatsServers, startNatsServers } from "../../scripts/nats-servers.ts";
import { programs } from "../drive/requirements.ts";
import { type AgentScript, answerInputs, linkAgent, type TestAgent } from "./agent-double.ts";
import {
  kill,
  makePlace,
  makePublish,
  openSession,
  type Place,
  publishAndLoad,
  resultOf,
  spawnControl,
  startControl,
} from "./harness.ts";
import { encodeInputs, openMap, valuesOf } from "./map-client.ts";
import { asked } from "./network-place.ts";

const withNats = programs("nats-server");
let servers: NatsServers;
let home: Place;

beforeAll(async () => {
  home = makePlace();
  if (withNats) servers = await startNatsServers(home.folder, 3);
});
afterAll(async () => {
  await servers?.[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

/** An agent that links again, to whichever control lets it, when its link has ended. */
function faithfulAgent(places: Place[], script: AgentScript = {}) {
  let over = false;
  let agent = link(0);
  function link(n: number): TestAgent {
    const linked = linkAgent(places[n % places.length]!.socket, { name: "node-1", ...script });
    linked.ended.then(() => {
      if (!over) setTimeout(() => (agent = over ? agent : link(n + 1)), 100);
    });
    return linked;
  }
  return {
    get now() {
      return agent;
    },
    [Symbol.dispose]() {
      over = true;
      agent[Symbol.dispose]();
    },
  };
}

function callerAt(place: Place) {
  const notices: string[] = [];
  const caller = openPoolCaller({
    ...{ client: "test", build: "test", log: silentLog, connect: async () => unixAddress(place.socket) },
    ...{ output() {}, link() {}, progress() {} },
    notice: (text) => void notices.push(text),
  });
  return {
    notices,
    call: async (n: number) =>
      resultOf((await caller.call("shop", "price", { positional: [n], keywords: {} }).finished) as never),
    [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
  };
}

describe.runIf(withNats)("controls on NATS", () => {
  test("whoever is connected to the control that stands by goes on when the one that serves is killed", async () => {
    using a = makePlace();
    using b = makePlace();
    const url = `${servers.url}/killed`;
    const first = await spawnControl(a, url);
    keepKeys(a, b);
    await using _second = await startControl(b, { nats: parseNatsUrl(url) });
    using _agent = faithfulAgent([a, b]);
    {
      using session = openSession(b.socket); // led to the first
      await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    }
    await using caller = callerAt(b);
    expect(await caller.call(1)).toBe(1);
    await kill(first);
    expect(await caller.call(2)).toBe(2);
    using session = openSession(b.socket);
    const id = session.call("price", [3]);
    expect((await session.outcome(id)).number).toBe(3);
  });

  test("an embedded pool moves to NATS and back: its functions, calls, blobs and keys", async () => {
    using old = makePlace();
    using shared = makePlace();
    const nats = parseNatsUrl(`${servers.url}/moved`);
    {
      await using _control = await startControl(old);
      using _agent = linkAgent(old.socket);
      using session = openSession(old.socket);
      await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
      expect((await session.outcome(session.call("price", [1]))).number).toBe(1);
      await expect(exportEmbedded(old, join(old.folder, "refused"))).rejects.toThrow(
        "a control is running on this state already",
      );
    }
    writeFileSync(join(old.state, "secrets.key"), Buffer.alloc(32, 7));
    const away = join(old.folder, "away");
    expect(await exportEmbedded(old, away)).toBeGreaterThan(0);
    await expect(exportEmbedded(old, away)).rejects.toThrow("is not empty");
    await importShared(away, nats, { state: shared.state, log: silentLog });
    await expect(importShared(away, nats, { state: shared.state, log: silentLog })).rejects.toThrow("has a state already");
    const back = join(old.folder, "back");
    {
      await using _control = await startControl(shared, { nats });
      using _agent = linkAgent(shared.socket);
      using session = openSession(shared.socket);
      const call = await session.outcome(session.call("price", [2])); // of the version that was published before
      expect([call.number, resultOf(call)]).toEqual([2, 2]);
      await exportShared(nats, { state: shared.state, to: back, log: silentLog }); // while it serves
    }
    expect(readFileSync(join(back, "secrets.key")).equals(Buffer.alloc(32, 7))).toBe(true);
    using again = makePlace();
    await using _control = await startControl({ ...again, state: back, store: join(back, "blobs") });
    using _agent = linkAgent(again.socket);
    using session = openSession(again.socket);
    expect((await session.outcome(session.call("price", [3]))).number).toBe(3);
  });

  test("a control whose keys are not the pool's, or whose state is an embedded pool's, refuses to start", async () => {
    using a = makePlace();
    using b = makePlace();
    using embedded = makePlace();
    const nats = parseNatsUrl(`${servers.url}/keys`);
    await using _control = await startControl(a, { nats });
    const options = { build: "test", lingerMs: Number.POSITIVE_INFINITY, log: silentLog };
    const signal = new AbortController().signal;
    await expect(runControl({ ...b, ...options, nats }, signal)).rejects.toThrow("this control lacks the pool's secrets.key");
    {
      await using _old = await startControl(embedded);
      using session = openSession(embedded.socket);
      session.send({ $case: "publish", value: makePublish("v1", [{ name: "price" }]) });
      await session.next("published");
    }
    keepKeys(a, embedded);
    await expect(runControl({ ...embedded, ...options, nats }, signal)).rejects.toThrow("it is the database of an embedded pool");
    expect(() => parseNatsUrl("http://a")).toThrow("the engine is not of the form nats://");
    await expect(runControl({ ...b, ...options, nats: parseNatsUrl("nats://127.0.0.1:1") }, signal)).rejects.toThrow(
      "no NATS server takes this control at 127.0.0.1:1",
    );
  });

  // Last: servers that come back take their time.
  test("without a quorum of NATS calls wait, people are told why, and then they go on", async () => {
    using place = makePlace();
    await using _control = await startControl(place, { nats: parseNatsUrl(`${servers.url}/quorum`) });
    const batches: DispatchInputs[] = [];
    using agent = faithfulAgent([place], { inputs: (_self, batch) => void batches.push(batch) });
    using session = openSession(place.socket);
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    using map = openMap(place.socket, { credit: 1 });
    await map.feed([1, 2], false);
    await expect.poll(() => batches.length).toBeGreaterThan(0);
    await Promise.all([0, 1].map((n) => servers.signal(n, "SIGKILL")));
    // What a client of a map is told it goes on by at another control, so it is told nothing that another could lack.
    const many = Array.from({ length: 1_000 }, (_, n) => n + 4); // more than a block
    map.send({ $case: "inputs", value: { inputs: encodeInputs([3, ...many], 2), last: false } });
    for (const batch of batches.splice(0)) answerInputs(agent.now, batch);
    await after(300);
    map.send({ $case: "credit", value: { results: 2_000 } });
    await after(300);
    expect(map.results).toEqual([]);
    expect(map.arrivals.all.filter((event) => event.$case === "credit" && event.value.recorded > 2)).toEqual([]);
    const id = session.call("price", [5]);
    const { text } = await session.next("notice", ({ level }) => level === "error");
    expect(text).toMatch(
      /^nothing can be recorded at present, and calls wait: NATS at .*: they go on when most of its servers run/,
    );
    using late = openSession(place.socket);
    expect((await late.next("notice")).text).toBe(text);
    expect(session.arrivals.all.filter((event) => event.$case === "call" && event.value.call?.id === id)).toEqual([]);
    const client = new CallsClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
    const list = asked((done) => client.listCalls(ListCallsRequest.fromPartial({ id }), done));
    await expect(list.finally(() => client.close())).rejects.toThrow("nothing can be recorded at present");
    await Promise.all([0, 1].map((n) => servers.start(n)));
    expect(resultOf(await session.outcome(id))).toBe(5);
    map.send({ $case: "inputs", value: { inputs: Buffer.alloc(0), last: true } });
    for (; map.results.length < 1_003; await after(20)) for (const batch of batches.splice(0)) answerInputs(agent.now, batch);
    expect(await map.finished()).toMatchObject({ state: "succeeded", succeeded: 1_003 });
    expect(valuesOf(map.results)).toEqual([1, 2, 3, ...many]);
  });
});

/** As whoever sets a pool up does by hand. */
function keepKeys(from: Place, to: Place): void {
  cpSync(join(from.state, "secrets.key"), join(to.state, "secrets.key"));
}
