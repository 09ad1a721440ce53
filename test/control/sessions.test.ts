// What several clients see: logs, slow readers, order and fairness, the fleet, and how an embedded control ends.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { leftBehind } from "../../base/store-work.ts";
import { CallsClient, type LogLines } from "../../proto/gen/hob/v1/calls.ts";
import { type LogLine, LogLine as LogLineMessage } from "../../proto/gen/hob/v1/common.ts";
import { type BlobPiece, ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { FleetClient, type FleetSample } from "../../proto/gen/hob/v1/fleet.ts";
import { isGap } from "../../proto/lost-output.ts";
import { fromServiceError } from "../../proto/status.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { answer, linkAgent } from "./agent-double.ts";
import {
  Arrivals,
  kill,
  makePlace,
  makePublish,
  openSession,
  publishAndLoad,
  resultOf,
  spawnControl,
  startControl,
} from "./harness.ts";

const line = (text: string, call = "", app = "shop"): LogLine =>
  LogLineMessage.fromPartial({ call, app, function: "price", stream: "stdout", timeMs: Date.now(), text });

test("a save that has been noticed rouses the containers of its apps and no other", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  session.send({ $case: "rouse", value: { apps: ["another"] } });
  session.send({ $case: "rouse", value: { apps: ["shop"] } });
  const rouse = await agent.commands.of(({ $case }) => $case === "rouse");
  const load = agent.commands.all.find(({ $case }) => $case === "load");
  expect(rouse).toEqual({ $case: "rouse", value: { containers: [load?.$case === "load" ? load.value.container : ""] } });
});

test("log lines reach who made the call and who watches the app, in order, before the call's result", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using maker = openSession(place.socket);
  using watcher = openSession(place.socket);
  using stranger = openSession(place.socket);
  watcher.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  await watcher.next("watching");
  using _agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      for (let i = 0; i < 100; i++) {
        self.send({ $case: "logs", value: { lines: [line(`a${i}`, dispatch.call, ""), line(`b${i}`, dispatch.call, "")] } });
      }
      answer(self, dispatch);
    },
  });
  await publishAndLoad(maker, makePublish("v1", [{ name: "price" }]));
  const id = maker.call("price");
  await maker.outcome(id);
  await watcher.outcome(id);
  for (const session of [maker, watcher]) {
    const kinds = session.arrivals.all.map((event) => event.$case);
    expect(kinds.lastIndexOf("logs")).toBeLessThan(kinds.lastIndexOf("call"));
    const lines = session.arrivals.all.flatMap((event) => (event.$case === "logs" ? event.value.lines : []));
    expect(lines.map(({ text }) => text)).toEqual(Array.from({ length: 100 }, (_, i) => [`a${i}`, `b${i}`]).flat());
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
    expect(new Set(lines.map(({ app }) => app))).toEqual(new Set(["shop"]));
  }
  expect(stranger.arrivals.all.some((event) => event.$case === "logs" || event.$case === "call")).toBe(false);
});

test("a client that does not read loses lines, counted, while others lose none", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using slow = openSession(place.socket);
  using quick = openSession(place.socket);
  for (const session of [slow, quick]) {
    session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
    await session.next("watching");
  }
  slow.stream.pause();
  using agent = linkAgent(place.socket);
  const total = 40_000;
  const text = "x".repeat(200);
  const bytesOf = (lines: LogLine[]) =>
    lines.reduce((sum, each) => sum + each.dropped + (isGap(each) ? 0 : each.text.length + 1), 0);
  const linesOf = (session: typeof slow) =>
    session.arrivals.all.flatMap((event) => (event.$case === "logs" ? event.value.lines : []));
  for (let i = 0; i < total; i += 200) {
    agent.send({ $case: "logs", value: { lines: Array.from({ length: 200 }, () => line(text)) } });
    if (i % 2_000 === 0) await quick.next("logs", ({ lines }) => lines.at(-1)!.seq >= Math.max(1, i - 2_000));
  }
  await quick.next("logs", ({ lines }) => lines.at(-1)!.seq === total);
  expect(linesOf(quick)).toHaveLength(total);
  slow.stream.resume();
  await slow.outcome(slow.call("nothing")); // its answer comes after all that waited
  agent.send({ $case: "logs", value: { lines: [line("last")] } });
  await slow.next("logs", ({ lines }) => lines.at(-1)!.text === "last");
  expect(bytesOf(linesOf(slow))).toBe(total * (text.length + 1) + "last\n".length);
  expect(linesOf(slow).length).toBeLessThan(total);
});

// Both ends used to wait for the other to read, each with a full socket, until the keepalive dropped the connection (control/send-buffer.ts).
test("a flood in both directions at once does not lock the connection up", async () => {
  using place = makePlace();
  const control = await spawnControl(place);
  try {
    using session = openSession(place.socket);
    using _agent = linkAgent(place.socket);
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    const total = 6_000;
    let finished = 0;
    const { add } = session.arrivals;
    const all = new Promise<void>((resolve) => {
      session.arrivals.add = (event) => {
        add.call(session.arrivals, event);
        if (event.$case === "call" && event.value.call!.state === "succeeded" && ++finished === total) resolve();
      };
    });
    for (let i = 0; i < total; i++) session.call("price", [i], { origin: "map" });
    await Promise.race([all, session.failed.then((error) => Promise.reject(error))]);
  } finally {
    await kill(control);
  }
});

test("past lines are read back with their filters, and following goes on without a gap", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  await session.next("opened");
  using agent = linkAgent(place.socket);
  session.send({ $case: "watch", value: { apps: ["shop", "other"], fleet: false } });
  await session.next("watching");
  agent.send({ $case: "logs", value: { lines: Array.from({ length: 3_000 }, (_, i) => line(`${i}`)) } });
  agent.send({ $case: "logs", value: { lines: [line("elsewhere", "", "other")] } });
  await session.next("logs", ({ lines }) => lines.at(-1)!.text === "elsewhere");
  const client = new CallsClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
  const stream = client.logs({ app: "shop", function: "", call: "", sinceMs: 0, limit: 2_500, follow: true });
  const arrivals = new Arrivals<LogLines>();
  stream.on("error", () => {});
  stream.on("data", (lines: LogLines) => arrivals.add(lines));
  await arrivals.of(({ lines }) => lines.at(-1)!.text === "2999");
  agent.send({ $case: "logs", value: { lines: [line("x", "", "other"), line("3000")] } });
  await arrivals.of(({ lines }) => lines.at(-1)!.text === "3000");
  const texts = arrivals.all.flatMap(({ lines }) => lines.map(({ text }) => text));
  expect(texts).toEqual(Array.from({ length: 2_501 }, (_, i) => `${i + 500}`));
  stream.cancel();
  client.close();

  using resumed = openSession(place.socket, { logsAfter: 2_999 });
  resumed.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  const { lines } = await resumed.next("logs");
  expect(lines.map(({ text }) => text)).toEqual(["2999", "3000"]);
});

test("of a thousand queued calls a person's runs next, and the others in the order in which they came", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const order: string[] = [];
  let press = () => {};
  using _agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      order.push(dispatch.call);
      if (order.length === 100) press();
      else answer(self, dispatch);
    },
  });
  await publishAndLoad(session, makePublish("v1", [{ name: "price", maxContainers: 1 }]));
  const ids = Array.from({ length: 1_000 }, (_, i) => session.call("price", [i], { origin: "map" }));
  const pressed = new Promise<string>((resolve) => {
    press = () => resolve(session.call("price", ["now"]));
  });
  const key = await pressed;
  await session.next("call", ({ call }) => call?.id === key); // accepted, while the hundredth still runs
  const hundredth = await _agent.dispatchOf(order[99]!);
  answer(_agent, hundredth);
  const calls = await Promise.all(ids.map((id) => session.outcome(id)));
  expect(calls.map(resultOf)).toEqual(ids.map((_, i) => i));
  expect(order).toEqual([...ids.slice(0, 100), key, ...ids.slice(100)]);
});

test("a client of another build: an embedded control that is alone ends for it, one in use refuses it", async () => {
  using place = makePlace();
  await using control = await startControl(place, { lingerMs: 60_000 });
  const user = openSession(place.socket);
  await user.next("opened");
  {
    using other = openSession(place.socket, { build: "newer" });
    expect(String(await other.failed)).toContain("control runs hob test, not newer");
  }
  using client = openSession(place.socket);
  await client.next("opened");
  user[Symbol.dispose]();
  client[Symbol.dispose]();
  for (;;) {
    using other = openSession(place.socket, { build: "newer" });
    if (String(await other.failed).includes("is ending for it")) break;
  }
  await control.ended;
  expect(existsSync(place.socket)).toBe(false);
});

test("an embedded control ends itself when it has been alone for its linger time, and tells its nodes", async () => {
  using place = makePlace();
  await using control = await startControl(place, { lingerMs: 300 });
  const session = openSession(place.socket);
  await session.next("opened");
  using agent = linkAgent(place.socket);
  await agent.commands.of((item) => item.$case === "pools");
  session[Symbol.dispose]();
  await agent.commands.of((item) => item.$case === "shutdown");
  await control.ended;
  expect(existsSync(place.socket)).toBe(false);
});

test("Shutdown ends an embedded control and is refused by one that was started by hand", async () => {
  using place = makePlace();
  const shutdown = async () => {
    const client = new FleetClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
    try {
      await new Promise<void>((resolve, reject) => {
        client.shutdown({ patienceMs: 0 }, (error) => (error ? reject(fromServiceError(error)) : resolve()));
      });
    } finally {
      client.close();
    }
  };
  {
    await using _control = await startControl(place);
    await expect(shutdown()).rejects.toThrow("started by hand");
  }
  await using control = await startControl(place, { lingerMs: 60_000 });
  using session = openSession(place.socket);
  await session.next("opened");
  await shutdown();
  expect(String(await session.failed)).toContain("control has ended: a client asked for it");
  await control.ended;
});

test("an agent that dies is started again, with its last words on the screen; it ends when control does", async () => {
  using place = makePlace();
  const pids = join(place.folder, "pids");
  const script = `echo $$ >> ${pids}; if [ $(wc -l < ${pids}) -lt 3 ]; then echo "no runc here" >&2; exit 3; fi; cat >/dev/null`;
  const starts = () => (existsSync(pids) ? readFileSync(pids, "utf8").trim().split("\n").map(Number) : []);
  {
    await using _control = await startControl(place, { agent: { argv: ["sh", "-c", script] }, lingerMs: 60_000 });
    using session = openSession(place.socket);
    const { text } = await session.next("notice");
    expect(text).toBe("the node's agent exited 3: no runc here; it is started again");
    const seen = () => session.arrivals.all.filter((event) => event.$case === "notice").length;
    if (starts().length < 3)
      await session.arrivals.of((event) => event.$case === "notice" && seen() >= 1 && starts().length >= 2);
    await until(() => starts().length === 3);
    expect(() => process.kill(starts()[2]!, 0)).not.toThrow();
    using later = openSession(place.socket); // no node has linked since: it hears of the trouble too
    expect((await later.next("notice")).text).toContain("no runc here");
  }
  expect(() => process.kill(starts()[2]!, 0)).toThrow("ESRCH");
});

/** For what no message announces. */
async function until(holds: () => boolean): Promise<void> {
  const limit = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > limit) throw new Error("it did not come to hold within ten seconds");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("the fleet shows nodes, containers, clients and how long calls took; progress is told to who comes later", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  await session.outcome(session.call("price"));
  session.send({ $case: "watch", value: { apps: ["shop"], fleet: true } });
  const { apps } = await session.next("watching");
  expect(apps[0]!.versions.map((version) => version.function)).toEqual(["price"]);
  expect(apps[0]!.recent).toHaveLength(1);
  const holds = (sample: FleetSample) =>
    sample.nodes[0]?.containers.some(({ app, state }) => app === "shop" && state === "specialised");
  const sample = await session.next("fleet", (candidate) => Boolean(holds(candidate)));
  expect(sample).toMatchObject({ clients: 1, queued: 0, running: 0 });
  expect(sample.latencyP50Ms).toBeGreaterThan(0);
  const progress = { what: "image host", phase: "capturing", done: 3, total: 9, unit: "files", node: "", message: "", image: "" };
  agent.send({ $case: "progress", value: progress });
  await session.next("progress");
  using later = openSession(place.socket);
  expect(await later.next("progress")).toMatchObject({ what: "image host", node: "node-1", done: 3 });
});

test("blobs are put in pieces, verified, and read back; one that is lacking is named", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  const client = new ContentClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
  const big = Buffer.alloc(700_000, "hob");
  const blobs = [big, Buffer.from("small"), Buffer.alloc(0)];
  const put = (list: { digest: string; data: Buffer }[]) =>
    new Promise<{ blobs: number; bytes: number }>((resolve, reject) => {
      const stream = client.put((error, kept) => (error ? reject(fromServiceError(error)) : resolve(kept)));
      for (const { digest, data } of list) {
        for (let start = 0; start === 0 || start < data.length; start += 256 << 10) {
          const end = start + (256 << 10);
          stream.write({ digest, data: data.subarray(start, end), last: end >= data.length });
        }
      }
      stream.end();
    });
  expect(await put(blobs.map((data) => ({ digest: sha256(data), data })))).toEqual({ blobs: 3, bytes: 700_005 });
  const brokenOff = ["first", "a"].map((text) => ({ digest: sha256(text), data: Buffer.from("first") }));
  await expect(put(brokenOff)).rejects.toThrow("what arrived has digest");
  expect(leftBehind(place.store).flatMap(({ digests }) => digests)).toEqual([sha256("first")]); // for gc
  const get = async (digests: string[]) => {
    const found = new Map<string, Buffer[]>();
    for await (const piece of client.get({ digests }) as AsyncIterable<BlobPiece>) {
      found.set(piece.digest, [...(found.get(piece.digest) ?? []), piece.data]);
    }
    return digests.map((digest) => Buffer.concat(found.get(digest) ?? []));
  };
  expect(await get(blobs.map((data) => sha256(data)))).toEqual(blobs);
  await expect(get([sha256("small"), sha256("a")])).rejects.toThrow(sha256("a"));
  const missing = await new Promise((resolve, reject) => {
    const digests = [sha256("small"), sha256("a")];
    client.missing({ digests }, (error, response) => (error ? reject(error) : resolve(response.digests)));
  });
  expect(missing).toEqual([sha256("a")]);
  client.close();
});
