// Deploy, rollback and history, with control in this process and an agent that speaks the protocol.

import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { answered, soon } from "../../cli/answered.ts";
import { openDeploymentsPool } from "../../cli/deployments-client.ts";
import { openPoolClient } from "../../cli/pool-client.ts";
import type { Dispatch, Load } from "../../proto/gen/hob/v1/agents.ts";
import type { Warming } from "../../proto/gen/hob/v1/deployments.ts";
import { SecretsClient, type SetSecretResponse } from "../../proto/gen/hob/v1/secrets.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { linkAgent, type TestAgent } from "./agent-double.ts";
import { kill, makePlace, makePublish, openSession, publishAndLoad, spawnControl, startControl } from "./harness.ts";

const never = new AbortController().signal;
const quiet = (): void => {};

/** Loads of deployments wait until they are let go; all else is answered at once. */
function gate(): { load(agent: TestAgent, load: Load): void; held: Load[]; open(agent: TestAgent): void; hold: boolean } {
  const gated = {
    hold: false,
    held: [] as Load[],
    load(agent: TestAgent, load: Load): void {
      if (gated.hold && load.app.includes("@")) gated.held.push(load);
      else agent.loaded(load);
    },
    open(agent: TestAgent): void {
      gated.hold = false;
      for (const load of gated.held.splice(0)) agent.loaded(load);
    },
  };
  return gated;
}

test("a deployment is warm before the switch, and no call at a hundred a second fails or is answered by what nobody promoted", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const gated = gate();
  using agent = linkAgent(place.socket, { load: gated.load });
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const first = makePublish("v1", [{ name: "price" }]);
  await publishAndLoad(session, first);
  const one = await pool.deploy({ app: "shop", by: "ann@desk", note: "opening" }, never, quiet);
  expect(one).toMatchObject({ unchanged: false, deployment: { number: 1, by: "ann@desk", note: "opening", live: true } });

  const calls = new Set<string>();
  const promoted = new Set(first.versions.map(({ digest }) => digest));
  const stop = new AbortController();
  const asking = (async () => {
    while (!stop.signal.aborted) {
      calls.add(session.call("price", [1], { app: "shop@live" }));
      await pause(10);
    }
  })();
  const second = makePublish("v2", [{ name: "price" }], { id: 2 });
  const third = makePublish("v3", [{ name: "price" }], { id: 3 });
  const answeredBy = (app: string) =>
    session.next("call", ({ call }) => calls.has(call!.id) && call!.app === app && call!.state === "succeeded");
  for (const [at, publish] of [second, third].entries()) {
    await answeredBy(`shop@${at + 1}`);
    await publishAndLoad(session, publish); // in dev only
    gated.hold = true;
    const warming = Promise.withResolvers<Warming>();
    const deploying = pool.deploy({ app: "shop" }, never, warming.resolve);
    expect(await warming.promise).toMatchObject({ number: at + 2, waiting: ["price"], total: 1 });
    await agent.commands.of((command) => command.$case === "load" && command.value.app === `shop@${at + 2}`);
    const former = await session.outcome(session.call("price", [2], { app: "shop@live" }));
    expect(former).toMatchObject({ state: "succeeded", app: `shop@${at + 1}` });
    promoted.add(publish.versions[0]!.digest);
    gated.open(agent);
    await deploying;
    const after = await session.outcome(session.call("price", [3], { app: "shop@live" }));
    expect(after).toMatchObject({ state: "succeeded", app: `shop@${at + 2}`, version: publish.versions[0]!.digest });
  }
  await answeredBy("shop@3");
  stop.abort();
  await asking;
  const outcomes = await Promise.all([...calls].map((id) => session.outcome(id)));
  expect(outcomes.filter(({ state }) => state !== "succeeded")).toEqual([]);
  const answered = new Set(outcomes.map(({ version }) => version));
  for (const digest of answered) expect(promoted).toContain(digest);
  expect(new Set(outcomes.map(({ app }) => app))).toEqual(new Set(["shop@1", "shop@2", "shop@3"]));
  // The former deployments' containers end; dev goes on in its own.
  await agent.commands.of((command) => command.$case === "stop" && command.value.reason === "no function needs it any more");
  expect(await session.outcome(session.call("price"))).toMatchObject({ app: "shop", version: third.versions[0]!.digest });

  const again = await pool.deploy({ app: "shop" }, never, quiet);
  expect(again).toMatchObject({ unchanged: true, deployment: { number: 3 } });
  const lines = [1, 3].map((number) => {
    const { container } = agent.commands.all.find(
      (command) => command.$case === "dispatch" && command.value.app === `shop@${number}`,
    )!.value as Dispatch;
    const line = {
      call: "",
      function: "price",
      container,
      stream: "stdout",
      timeMs: number,
      dropped: 0,
      seq: 0,
      input: undefined,
    };
    return { ...line, app: `shop@${number}`, text: `of ${number}` };
  });
  agent.send({ $case: "logs", value: { lines: [{ ...lines[0]!, app: "shop", text: "of dev" }, ...lines] } });
  await session.outcome(session.call("price", [4], { app: "shop@live" })); // said after it
  using client = openPoolClient(unixAddress(place.socket));
  const printed: string[] = [];
  for await (const some of client.logs({ app: "shop@live" }, never)) printed.push(...some.map(({ text }) => text));
  expect(printed).toEqual(["of 1", "of 3"]);
  expect(new Set((await client.calls({ app: "shop@live" })).map(({ app }) => app))).toEqual(new Set(["shop@3"]));
  const history = await pool.history("shop");
  expect(history.map(({ number, live, changes }) => [number, live, changes.map(({ kind }) => kind)])).toEqual([
    [3, true, ["changed"]],
    [2, false, ["changed"]],
    [1, false, ["added"]],
  ]);
});

test("a deployment begins with as many containers as its predecessor is using", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const running: Dispatch[] = [];
  using agent = linkAgent(place.socket, {
    dispatch(self, dispatch) {
      if (dispatch.load) self.loaded(dispatch.load);
      running.push(dispatch);
    },
  });
  using pool = openDeploymentsPool(unixAddress(place.socket));
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  await pool.deploy({ app: "shop" }, never, quiet);
  const calls = [1, 2, 3].map(() => session.call("price", [], { app: "shop@live" }));
  for (const call of calls) await agent.dispatchOf(call);
  // Of another resource class: what counts is the function, wherever it was.
  await publishAndLoad(session, makePublish("v2", [{ name: "price", memoryBytes: 256 * 2 ** 20 }], { id: 2 }));
  await pool.deploy({ app: "shop" }, never, quiet);
  expect([...agent.containers.values()].filter(({ app }) => app === "shop@2")).toHaveLength(3);
  for (const dispatch of running) agent.succeed(dispatch, 1);
  for (const call of calls) expect(await session.outcome(call)).toMatchObject({ state: "succeeded", app: "shop@1" });
});

test("rollback takes the versions of the one before and no further than the first; named deployments and digests can be called", async () => {
  using place = makePlace();
  const control = await startControl(place);
  const versions = ["v1", "v2"].map((text, at) => makePublish(text, [{ name: "price" }], { id: at + 1 }));
  {
    using session = openSession(place.socket);
    using _agent = linkAgent(place.socket);
    using pool = openDeploymentsPool(unixAddress(place.socket));
    await expect(pool.deploy({ app: "shop" }, never, quiet)).rejects.toThrow("no functions of an app shop");
    for (const publish of versions) {
      await publishAndLoad(session, publish);
      await pool.deploy({ app: "shop" }, never, quiet);
    }
    const back = await pool.deploy({ app: "shop", rollBack: true }, never, quiet);
    expect(back.deployment).toMatchObject({ number: 3, of: 1, changes: [{ function: "price", kind: "changed" }] });
    await expect(pool.deploy({ app: "shop", rollBack: true }, never, quiet)).rejects.toMatchObject({
      kind: "precondition",
      message: expect.stringContaining("shop cannot go back further: deployment 1 is its first"),
    });
    await expect(pool.deploy({ app: "shop", rollBack: true, rollBackTo: 9 }, never, quiet)).rejects.toThrow(
      "shop has no deployment 9: there are 1, 2, 3",
    );
    await expect(pool.history("shops")).rejects.toThrow("shop");
    const digest = versions[1]!.versions[0]!.digest;
    await expect(
      pool.deploy({ app: "shop", functions: [{ function: "price", digest: "other" }] }, never, quiet),
    ).rejects.toMatchObject({ kind: "precondition", message: expect.stringContaining("and this folder other") });
    for (const app of ["shop@2", `shop@${digest.slice(0, 8)}`]) {
      expect(await session.outcome(session.call("price", [1], { app }))).toMatchObject({ state: "succeeded", version: digest });
    }
    for (const [app, sentence] of [
      ["shop@7", "shop has no deployment 7: there are 1, 2, 3"],
      ["shop@beefbeef", "shop/price has no version beefbeef"],
      ["shop@last one", "write APP, APP@live, APP@3 or APP@DIGEST"],
    ] as const) {
      const refused = await session.outcome(session.call("price", [1], { app }));
      expect(refused).toMatchObject({
        state: "failed",
        failure: { kind: "arguments", message: expect.stringContaining(sentence) },
      });
    }
  }
  await control[Symbol.asyncDispose]();
  await using _second = await startControl(place);
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const live = await session.outcome(session.call("price", [1], { app: "shop@live" }));
  expect(live).toMatchObject({ state: "succeeded", app: "shop@3", version: versions[0]!.versions[0]!.digest });
  expect(await pool.apps()).toMatchObject([{ app: "shop", functions: 1, changed: 1, live: { number: 3 } }]);
  expect(await pool.retire("shop")).toBe(3);
  expect(await session.outcome(session.call("price", [1], { app: "shop@live" }))).toMatchObject({ app: "shop" });
  expect((await pool.deploy({ app: "shop" }, never, quiet)).deployment).toMatchObject({ number: 4, live: true });
});

test("a control that is killed while a deployment warms up keeps what was live, and nobody is answered by what was not promoted", async () => {
  using place = makePlace();
  const control = await spawnControl(place);
  {
    using session = openSession(place.socket);
    const gated = gate();
    using agent = linkAgent(place.socket, { load: gated.load });
    using pool = openDeploymentsPool(unixAddress(place.socket));
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    await pool.deploy({ app: "shop" }, never, quiet);
    await publishAndLoad(session, makePublish("v2", [{ name: "price" }], { id: 2 }));
    gated.hold = true;
    const lost = expect(pool.deploy({ app: "shop" }, never, quiet)).rejects.toMatchObject({ kind: "unavailable" });
    await agent.commands.of((command) => command.$case === "load" && command.value.app === "shop@2");
    await kill(control);
    await lost;
  }
  await using _second = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  expect(await pool.apps()).toMatchObject([{ app: "shop", live: { number: 1 }, changed: 1 }]);
  expect(await session.outcome(session.call("price", [1], { app: "shop@live" }))).toMatchObject({ app: "shop@1" });
  const refused = await session.outcome(session.call("price", [1], { app: "shop@2" }));
  expect(refused.failure?.message).toBe("shop has no deployment 2: there are 1");
  expect((await pool.deploy({ app: "shop" }, never, quiet)).deployment.number).toBe(3);
  expect(agent.commands.all.some((command) => command.$case === "load" && command.value.app === "shop@2")).toBe(false);
});

test("a deployment has its app's secrets: without one it does not come up, and where one changes its container is replaced", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  const address = unixAddress(place.socket);
  using pool = openDeploymentsPool(address);
  const secrets = new SecretsClient(address, clientCredentials(address), channelOptions);
  const set = (value: string) =>
    answered<SetSecretResponse>((done) => secrets.setSecret({ app: "shop", name: "API_KEY", value }, ...soon(), done));
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "charge", secrets: ["API_KEY"] }]) });
  await session.next("reloaded");
  await expect(pool.deploy({ app: "shop" }, never, quiet)).rejects.toThrow(
    "deployment 1 of shop did not come up: charge: secret API_KEY is not set; run: hob secrets set API_KEY; nothing is live",
  );
  await set("first-value");
  await pool.deploy({ app: "shop" }, never, quiet);
  const before = session.call("charge", [1], { app: "shop@live" });
  expect(await session.outcome(before)).toMatchObject({ state: "succeeded", app: "shop@2" });
  const { container } = await agent.dispatchOf(before);
  await set("second-value");
  await agent.commands.of((command) => command.$case === "stop" && command.value.container === container);
  const after = session.call("charge", [2], { app: "shop@live" });
  expect(await session.outcome(after)).toMatchObject({ state: "succeeded", app: "shop@2" });
  expect((await agent.dispatchOf(after)).container).not.toBe(container);
  const values = agent.commands.all.flatMap((command) => {
    const load = command.$case === "load" ? command.value : command.$case === "dispatch" ? command.value.load : undefined;
    return load?.app === "shop@2" ? [load.secrets["API_KEY"]] : [];
  });
  expect(new Set(values)).toEqual(new Set(["first-value", "second-value"]));
  secrets.close();
});

test("what does not load is not switched to; a deployed function's calls stay in its deployment and reach nothing that nobody promoted", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  let broken = "";
  const dispatches: Dispatch[] = [];
  using agent = linkAgent(place.socket, {
    load(self, load) {
      if (load.app !== broken) return self.loaded(load);
      const { id, container, snapshot, tier } = load;
      const failure = { kind: "exception", type: "ImportError", message: "no module nump", traceback: "", frames: [] };
      self.send({
        $case: "loaded",
        value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure, tier, reason: "" },
      });
    },
    dispatch(self, dispatch) {
      if (dispatch.load) self.loaded(dispatch.load);
      if (dispatch.version!.function === "outer") dispatches.push(dispatch);
      else self.succeed(dispatch, 1);
    },
  });
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const first = makePublish("v1", [{ name: "price" }, { name: "outer" }]);
  await publishAndLoad(session, first);
  await pool.deploy({ app: "shop" }, never, quiet);
  const parent = session.call("outer", [], { app: "shop@live" });
  await agent.dispatchOf(parent);
  await publishAndLoad(session, makePublish("v2", [{ name: "price" }, { name: "outer" }], { id: 2 }));
  broken = "shop@2";
  await expect(pool.deploy({ app: "shop" }, never, quiet)).rejects.toMatchObject({
    kind: "function",
    message: expect.stringMatching(
      /deployment 2 of shop did not come up: .*ImportError: no module nump; deployment 1 stays live/,
    ),
  });
  expect(await pool.apps()).toMatchObject([{ live: { number: 1 }, changed: 2 }]);
  broken = "";
  expect((await pool.deploy({ app: "shop" }, never, quiet)).deployment.number).toBe(3); // no number twice

  // Its parent began on deployment 1, which is not live any more.
  const ask = async (app: string, id: string) => {
    const given = { positional: Buffer.from("[]"), keywords: Buffer.alloc(0), large: undefined };
    const child = { id, app, function: "price", version: "", arguments: given, parent, origin: "function" };
    agent.send({ $case: "child", value: child });
    const heard = await agent.commands.of((command) => command.$case === "childFinished" && command.value.call?.id === id);
    return (heard as Extract<typeof heard, { $case: "childFinished" }>).value.call!;
  };
  expect(await ask("shop", "00000000000000a1")).toMatchObject({
    state: "succeeded",
    app: "shop@1",
    version: first.versions[0]!.digest,
  });
  expect(await ask("shop@live", "00000000000000a2")).toMatchObject({ state: "succeeded", app: "shop@3" });
  session.send({ $case: "publish", value: { ...makePublish("other", [{ name: "price" }], { id: 9 }), app: "bank" } });
  await session.next("published", ({ id }) => id === 9);
  expect(await ask("bank", "00000000000000a3")).toMatchObject({
    state: "failed",
    failure: { kind: "arguments", message: "shop@1 calls bank/price, and bank is not deployed: deploy it: hob deploy" },
  });
  agent.succeed(dispatches[0]!, 2);
  expect(await session.outcome(parent)).toMatchObject({ state: "succeeded", app: "shop@1" });
});
