// Control as a client and a node see it: publish, load, dispatch, result.

import { expect, test } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import type { ChildFinished, Dispatch, Load } from "../../proto/gen/hob/v1/agents.ts";
import { Publish } from "../../proto/gen/hob/v1/registry.ts";
import { answer, linkAgent } from "./agent-double.ts";
import {
  hostDigest,
  makePlace,
  makePublish,
  makeVersion,
  newId,
  openSession,
  publishAndLoad,
  resultOf,
  snapshotDigest,
  startCall,
  startControl,
} from "./harness.ts";

test("a published function is loaded before anybody calls it, and a call runs in that container", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  await session.next("opened");
  using agent = linkAgent(place.socket);
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  const reloaded = await session.next("reloaded");
  expect(reloaded).toMatchObject({ functions: ["price"], tier: "container", containers: 1, node: "node-1", failure: undefined });

  const id = session.call("price", ["tea"]);
  const call = await session.outcome(id);
  expect(call).toMatchObject({ state: "succeeded", number: 1, attempt: 1, container: reloaded.container, app: "shop" });
  expect(resultOf(call)).toBe("tea");
  expect(call.steps.map((step) => step.name)).toEqual(["queue", "load", "run"]);
  expect((await agent.dispatchOf(id)).load).toBeUndefined();
});

test("a save's call travels with its load in one message, as a delta from what the container has", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  const first = makePublish("v1", [{ name: "price" }]);
  await publishAndLoad(session, first);

  const id = newId();
  const save = { ...makePatch(first, "v2", 2, id), patches: [] };
  const snapshot = save.snapshot!.digest;
  session.send({ $case: "publish", value: save });
  const call = await session.outcome(id);
  expect(call).toMatchObject({ state: "succeeded", version: save.versions[0]!.digest, snapshot });
  const dispatch = await agent.dispatchOf(id);
  expect(dispatch.load).toMatchObject({ tier: "patch", snapshot: { digest: snapshot, base: first.snapshot!.digest } });
  expect(dispatch.load!.snapshot!.blobs[0]!.data.toString()).toBe("v2");
  const kinds = session.arrivals.all.map((event) => event.$case);
  expect(kinds.lastIndexOf("published")).toBeLessThan(kinds.lastIndexOf("reloaded"));
  expect(await session.next("reloaded", ({ publish }) => publish === 2)).toMatchObject({ tier: "patch" });
});

/** Of `first`'s only function, patched, with a call. */
function makePatch(first: Publish, text: string, id: number, call: string, maxContainers = 0): Publish {
  const snapshot = snapshotDigest([{ path: "app.py", text }]);
  const base = first.snapshot!.digest;
  const version = makeVersion(snapshot, text, { name: "price", maxContainers });
  return Publish.fromPartial({
    ...{ id, app: "shop" },
    snapshot: {
      ...{ digest: snapshot, base, blobs: [{ digest: sha256(text), data: Buffer.from(text) }] },
      changed: [{ path: "app.py", digest: sha256(text), size: text.length, mode: 0o644 }],
    },
    versions: [version],
    changes: [{ function: "price", tier: "patch", reason: "body changed" }],
    patches: [{ base, functions: ["price"], keep: "all", units: [{ path: "app.py", name: "price", line: 1, endLine: 1 }] }],
    calls: [startCall(call, "price", [7], { origin: "save", version: version.digest })],
  });
}

test("the load of a patch goes ahead of its call to the container that has what it patches; what came of it is told once", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  let ahead: Load | undefined;
  using agent = linkAgent(place.socket, {
    load(self, load) {
      if (load.called) ahead = load;
      else self.loaded(load);
    },
    dispatch(self, dispatch) {
      if (ahead) self.loaded(ahead); // as agents do: with its call
      answer(self, dispatch);
    },
  });
  const first = makePublish("v1", [{ name: "price" }]);
  await publishAndLoad(session, first);
  const id = newId();
  const save = makePatch(first, "v2", 2, id);
  session.send({ $case: "publish", value: save });
  expect(await session.outcome(id)).toMatchObject({ state: "succeeded", version: save.versions[0]!.digest });
  const dispatch = await agent.dispatchOf(id);
  expect(dispatch.load).toBeUndefined();
  expect(ahead).toMatchObject({ container: dispatch.container, tier: "patch", called: true, retire: [] });
  expect(ahead!.patches).toHaveLength(1);
  const order = agent.commands.all.filter(({ $case }) => $case === "load" || $case === "dispatch").map(({ $case }) => $case);
  expect(order.slice(-2)).toEqual(["load", "dispatch"]);
  const reloaded = session.arrivals.all.filter((event) => event.$case === "reloaded" && event.value.publish === 2);
  expect(reloaded).toHaveLength(1);
});

test("where the container that has what is patched is busy, no load goes as one whose call is right behind it", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const held: Dispatch[] = [];
  using agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      if (held.length === 0) held.push(dispatch);
      else answer(self, dispatch);
    },
  });
  const first = makePublish("v1", [{ name: "price", maxContainers: 1 }]);
  await publishAndLoad(session, first);
  const running = session.call("price", [1]);
  await agent.dispatchOf(running);
  const id = newId();
  session.send({ $case: "publish", value: makePatch(first, "v2", 2, id, 1) });
  await session.next("published", (published) => published.id === 2);
  expect(agent.commands.all.some(({ $case, value }) => $case === "load" && (value as Load).called)).toBe(false);
  answer(agent, held[0]!);
  expect(await session.outcome(running)).toMatchObject({ state: "succeeded" });
  expect(await session.outcome(id)).toMatchObject({ state: "succeeded" });
  const loads = agent.commands.all.flatMap(({ $case, value }) => ($case === "load" ? [value as Load] : []));
  expect(loads.map(({ called }) => called)).not.toContain(true);
});

test("a load that went ahead and failed ends its call with what was wrong, and what served goes on", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const failure = { kind: "exception", type: "NameError", message: "name 'x' is not defined", traceback: "", frames: [] };
  using agent = linkAgent(place.socket, {
    load(self, load) {
      if (!load.called) return self.loaded(load);
      const { id, container, snapshot, tier } = load;
      self.send({
        $case: "loaded",
        value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure, tier, reason: "" },
      });
    },
    dispatch(self, dispatch) {
      if (dispatch.version!.digest === bad.versions[0]!.digest) self.fail(dispatch, "load");
      else answer(self, dispatch);
    },
  });
  const first = makePublish("v1", [{ name: "price" }]);
  await publishAndLoad(session, first);
  const id = newId();
  const bad = makePatch(first, "v2", 2, id);
  session.send({ $case: "publish", value: bad });
  expect(await session.outcome(id)).toMatchObject({ state: "failed", failure: { kind: "load" } });
  expect((await session.next("reloaded", ({ publish }) => publish === 2)).failure).toMatchObject({ type: "NameError" });
  const again = session.call("price", [3]);
  expect(await session.outcome(again)).toMatchObject({ state: "succeeded", version: first.versions[0]!.digest });
  expect(agent.containers.size).toBeGreaterThan(0);
});

test("a publish on a base that control lacks names that base as missing, and one without its blobs names those", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const whole = makePublish("v1", [{ name: "price" }]);
  const base = sha256("never seen");
  session.send({ $case: "publish", value: { ...whole, snapshot: { ...whole.snapshot!, base } } });
  expect((await session.next("published")).missing).toEqual([base]);
  session.send({ $case: "publish", value: { ...whole, id: 2, snapshot: { ...whole.snapshot!, blobs: [] } } });
  expect((await session.next("published", ({ id }) => id === 2)).missing).toEqual([sha256("v1")]);
});

test("content that is not what its digest says is refused", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const publish = makePublish("v1", [{ name: "price" }]);
  publish.snapshot!.blobs[0]!.data = Buffer.from("something else");
  session.send({ $case: "publish", value: publish });
  const { failure } = await session.next("published");
  expect(failure?.message).toMatch(/^publishing shop: blob [0-9a-f]{12}: what arrived has digest/);
});

test("a version that cannot be loaded leaves the last good one serving, and is tried again with the next save", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const good = makePublish("good", [{ name: "price" }, { name: "tax" }]);
  const bad = makePublish("bad", [{ name: "price" }, { name: "tax" }], { id: 2 });
  using agent = linkAgent(place.socket, {
    load(self, load) {
      if (load.snapshot!.digest !== bad.snapshot!.digest) return self.loaded(load);
      const failure = { kind: "exception", type: "ZeroDivisionError", message: "division by zero", traceback: "", frames: [] };
      const { id, container, snapshot } = load;
      self.send({
        $case: "loaded",
        value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure, tier: "fork", reason: "" },
      });
    },
  });
  await publishAndLoad(session, good);
  session.send({ $case: "publish", value: bad });
  const reloaded = await session.next("reloaded", ({ publish }) => publish === 2);
  expect(reloaded.failure?.message).toBe("division by zero");
  const call = await session.outcome(session.call("price"));
  expect(call).toMatchObject({ state: "succeeded", version: good.versions[0]!.digest });

  // The next save mends the file by changing only `tax`: `price` must not stay at the old version.
  const mended = makePublish("mended", [{ name: "tax" }], { id: 3 });
  session.send({ $case: "publish", value: mended });
  await session.next("reloaded", ({ publish }) => publish === 3);
  const again = await session.outcome(session.call("price"));
  expect(again).toMatchObject({ version: bad.versions[0]!.digest, snapshot: mended.snapshot!.digest });
  expect(agent.commands.all.some((command) => command.$case === "load")).toBe(true);
});

test("calls to what does not exist, or with arguments that do not fit, fail at once with the names that come near", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const publish = makePublish("v1", [{ name: "price" }, { name: "resize" }]);
  publish.versions[0]!.spec!.parameters = [{ name: "item", kind: "positional", hasDefault: false, annotation: "" }];
  session.send({ $case: "publish", value: publish });
  await session.next("published");
  const failed = async (id: string) => (await session.outcome(id)).failure!;
  expect(await failed(session.call("prise"))).toMatchObject({
    kind: "arguments",
    message: 'there is no function "prise" in the app "shop": did you mean price?',
  });
  expect((await failed(session.call("price", [], { app: "shoo" }))).message).toBe('there is no app "shoo": did you mean shop?');
  expect((await failed(session.call("price", [1, 2]))).message).toBe("price(item) takes 1 positional argument, but 2 were given");
  expect((await failed(session.call("price"))).message).toBe('price(item) needs "item"');
});

test("TypeScript functions run in containers of their own language, with their bundle in the load", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  const bundle = Buffer.from("exports.resize = () => 1");
  const publish = makePublish("v1", [{ name: "price" }, { name: "resize", language: "typescript" }]);
  publish.versions[1]!.bundle = sha256(bundle);
  publish.bundles = [{ digest: sha256(bundle), data: bundle }];
  session.send({ $case: "publish", value: publish });
  await session.next("reloaded", ({ functions }) => functions.includes("resize"));
  await session.next("reloaded", ({ functions }) => functions.includes("price"));
  const loads = agent.commands.all.flatMap((command) => (command.$case === "load" ? [command.value] : []));
  const byLanguage = Object.fromEntries(
    loads.map((load) => [agent.containers.get(load.container)!.resourceClass!.language, load]),
  );
  expect(byLanguage["typescript"]!.bundles[0]!.data).toEqual(bundle);
  expect(byLanguage["typescript"]!.versions.map((version) => version.function)).toEqual(["resize"]);
  expect(byLanguage["python"]!.bundles).toEqual([]);
});

test("a function of a function: the child's outcome goes to the node, and ends with its parent", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const children = { answered: newId(), abandoned: newId() };
  using agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      if (dispatch.load) self.loaded(dispatch.load);
      if (dispatch.version!.function === "parent") {
        const { call: parent } = dispatch;
        self.send({ $case: "child", value: startCall(children.answered, "child", [5], { app: "", parent, origin: "" }) });
        self.send({ $case: "child", value: startCall(children.abandoned, "slow", [], { app: "", parent, origin: "" }) });
      } else if (dispatch.version!.function === "child") self.succeed(dispatch, 10);
    },
  });
  await publishAndLoad(session, makePublish("v1", [{ name: "parent" }, { name: "child" }, { name: "slow" }]));
  session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  const id = session.call("parent");
  const heard = await agent.commands.of((item) => item.$case === "childFinished" && item.value.call?.id === children.answered);
  expect(heard.value).toMatchObject({ call: { state: "succeeded", parent: id, app: "shop", origin: "function" } });
  const parent: Dispatch = await agent.dispatchOf(id);
  await agent.dispatchOf(children.abandoned);
  agent.succeed(parent, 1);
  expect(await session.outcome(id)).toMatchObject({ state: "succeeded" });
  const abandoned = await session.outcome(children.abandoned);
  expect(abandoned).toMatchObject({ state: "cancelled", failure: { message: "cancelled, because parent (#1) ended" } });
  await agent.commands.of((item) => item.$case === "cancel" && item.value.call === children.abandoned);
});

test("a full pool of parents that wait for children does not stand still", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const waiting = new Map<string, Dispatch>();
  using agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      if (dispatch.load) self.loaded(dispatch.load);
      if (dispatch.version!.function === "child") return self.succeed(dispatch, 1);
      const child = newId();
      waiting.set(child, dispatch);
      self.send({ $case: "child", value: startCall(child, "child", [], { app: "", parent: dispatch.call, origin: "" }) });
    },
  });
  await session.next("opened");
  await publishAndLoad(session, makePublish("v1", [{ name: "parent" }, { name: "child" }]));
  const ids = Array.from({ length: 20 }, () => session.call("parent", [], { origin: "map" }));
  const answered = new Set<string>();
  while (answered.size < ids.length) {
    const command = await agent.commands.of((item) => item.$case === "childFinished" && !answered.has(item.value.call!.id));
    const { id } = (command.value as ChildFinished).call!;
    answered.add(id);
    agent.succeed(waiting.get(id)!, 1);
  }
  for (const id of ids) expect((await session.outcome(id)).state).toBe("succeeded");
});

test("what needs a GPU that no node has is refused at once, with what there is; the rest of its app runs", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  await session.next("opened");
  using _agent = linkAgent(place.socket);
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "train", gpu: "H100:2" }, { name: "price" }]) });
  await session.next("published");
  const call = await session.outcome(session.call("train"));
  const sentence = 'no node has 2 × GPU "H100"; this pool has: none. Add a node with one, or remove gpu=';
  expect(call).toMatchObject({ state: "failed", failure: { kind: "infrastructure", message: sentence } });
  expect(await session.outcome(session.call("price", ["tea"]))).toMatchObject({ state: "succeeded" });
});

test("what runs in an image that lacks its language is refused as soon as a node has said so, until a node has another image", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  await session.next("opened");
  using agent = linkAgent(place.socket, { pools: false });
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "price" }]) });
  await session.next("published");
  const call = session.call("price", ["tea"]);
  await agent.commands.of((item) => item.$case === "pools");
  const sentence = 'the image has no python3: add .apt_install("python3")';
  agent.send({ $case: "unfit", value: { image: hostDigest, language: "typescript", sentence: "another language" } });
  agent.send({ $case: "unfit", value: { image: hostDigest, language: "python", sentence } });
  const refused = { state: "failed", failure: { kind: "load", message: expect.stringContaining(sentence) } };
  expect(await session.outcome(call)).toMatchObject(refused);
  expect(await session.outcome(session.call("price", ["tea"]))).toMatchObject(refused);
  using other = linkAgent(place.socket, { name: "node-2", host: "2".repeat(64) });
  await other.commands.of((item) => item.$case === "pools");
  expect(await session.outcome(session.call("price", ["tea"]))).toMatchObject({ state: "succeeded" });
});
