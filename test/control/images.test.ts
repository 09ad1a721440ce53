// Images that are built: from a publish over a node's steps to a call in it; and what becomes of a build that fails or loses its node.

import { expect, test } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import type { ImageRef, ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { linkAgent } from "./agent-double.ts";
import { makePlace, makePublish, openSession, resultOf, startControl } from "./harness.ts";
import { imageAfter, imageBuilder } from "./image-builder.ts";

const run = (command: string): ImageStep => ({ kind: "run", arguments: [command], files: [] });
const debian = (...steps: ImageStep[]): ImageRef => ({ source: "debian", digest: "", reference: "bookworm", steps });

test("a publish starts the build, its log is told, and the call runs in what it has made; a second image goes on from the shared step", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  const script = imageBuilder(place);
  const store = openContentFolder(place.store, { durable: false });
  using agent = linkAgent(place.socket, script);
  const image = debian(run("make"));
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "price", image }]) });
  const id = session.call("price", ["tea"]);
  expect(resultOf(await session.outcome(id))).toBe("tea");
  const dispatch = await agent.dispatchOf(id);
  expect(agent.containers.get(dispatch.container)?.image).toBe(await imageAfter(store, image, 1));
  const told = session.arrivals.all.flatMap((event) => (event.$case === "image" ? [event.value] : []));
  expect(told.map(({ state }) => state)).toEqual(expect.arrayContaining(["waiting", "building", "ready"]));
  expect(told.flatMap(({ lines }) => lines.map(({ text }) => text))).toEqual(["step 0 works", "step 1 works"]);
  expect(told.at(-1)).toMatchObject({ state: "ready", digest: await imageAfter(store, image, 1), apps: ["shop"] });

  const next = debian(run("make"), run("make install"));
  session.send({ $case: "publish", value: makePublish("v2", [{ name: "price", image: next }], { id: 2 }) });
  await session.next("reloaded", ({ publish, failure }) => publish === 2 && failure === undefined);
  expect(script.ran).toEqual(["base debian bookworm", "run make", "run make install"]);
  const resolves = agent.commands.all.flatMap((command) =>
    command.$case === "resolve" && command.value.image!.source === "debian" ? [command.value] : [],
  );
  expect(resolves.map(({ stepsDone, from }) => [stepsDone, from])).toEqual([
    [0, ""],
    [1, await imageAfter(store, image, 1)],
  ]);
});

test("a failed build fails its calls at once with that sentence, is still told to who comes later, and the next publish tries again", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const script = imageBuilder(place);
  const message = "image debian bookworm: step 1 `make` exited 2: no rule";
  let broken = true;
  using _agent = linkAgent(place.socket, {
    build(agent, resolve) {
      if (!broken) return script.finish(agent, resolve);
      const requested = resolve.image;
      agent.send({ $case: "buildLog", value: { requested, step: 1, lines: ["make: no rule"], timeMs: 1 } });
      const failure = { kind: "build", type: "", message, traceback: "", frames: [] };
      agent.send({ $case: "image", value: { requested, image: undefined, failure } });
    },
  });
  const image = debian(run("make"));
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "price", image }]) });
  expect((await session.next("reloaded")).failure?.message).toBe(message);
  expect((await session.outcome(session.call("price", [1]))).failure).toMatchObject({ kind: "load", message });

  using late = openSession(place.socket);
  late.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  expect(await late.next("image")).toMatchObject({
    state: "failed",
    lines: [{ step: 1, text: "make: no rule" }],
    failure: { message },
  });

  broken = false;
  session.send({ $case: "publish", value: makePublish("v2", [{ name: "price", image }], { id: 2 }) });
  await session.next("reloaded", ({ publish, failure }) => publish === 2 && failure === undefined);
  expect(resultOf(await session.outcome(session.call("price", [1])))).toBe(1);
});

test("a build whose node is lost goes on elsewhere from the last step, and outlives control", async () => {
  using place = makePlace();
  const image = debian(run("one"), run("two"));
  const script = imageBuilder(place);
  const store = openContentFolder(place.store, { durable: false });
  {
    await using _control = await startControl(place);
    using session = openSession(place.socket);
    using second = linkAgent(place.socket, { name: "node-2", pools: false, build: () => {} });
    await second.commands.of(({ $case }) => $case === "welcome");
    using first = linkAgent(place.socket, {
      name: "node-1",
      pools: false,
      build: (agent, resolve) => script.finish(agent, resolve, 1),
    });
    await first.commands.of(({ $case }) => $case === "welcome");
    session.send({ $case: "publish", value: makePublish("v1", [{ name: "price", image }]) });
    await session.next("image", ({ step }) => step === 2);
    first[Symbol.dispose]();
    const again = await second.commands.of((command) => command.$case === "resolve" && command.value.image!.source === "debian");
    expect(again.value).toMatchObject({ stepsDone: 1, from: await imageAfter(store, image, 1) });
  }
  await using _control = await startControl(place);
  using _agent = linkAgent(place.socket, script);
  using session = openSession(place.socket);
  session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  expect(resultOf(await session.outcome(session.call("price", ["on"])))).toBe("on");
  expect(script.ran).toEqual(["base debian bookworm", "run one", "run two"]);
});

test("an image that was edited before its build began is not built, and only the one that is wanted is", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const [former, present] = [debian(run("former")), debian(run("present"))];
  session.send({ $case: "publish", value: makePublish("v1", [{ name: "price", image: former }]) });
  session.send({ $case: "publish", value: makePublish("v2", [{ name: "price", image: present }], { id: 2 }) });
  await session.next("published", ({ id }) => id === 2);
  const script = imageBuilder(place);
  using _agent = linkAgent(place.socket, script);
  expect(resultOf(await session.outcome(session.call("price", [1])))).toBe(1);
  expect(script.ran).toEqual(["base debian bookworm", "run present"]);
});

test("a running build that nobody wants any more is given up; one that another image waits for is, after the step that both have", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const script = imageBuilder(place);
  using agent = linkAgent(place.socket, { build: (one, resolve) => script.finish(one, resolve, 0) }); // no step comes to an end by itself
  const publish = (id: number, image: ImageRef) =>
    session.send({ $case: "publish", value: makePublish(`v${id}`, [{ name: "price", image }], { id }) });
  const resolveOf = (last: string) =>
    agent.commands.of((command) => command.$case === "resolve" && command.value.image!.steps.at(-1)?.arguments[0] === last);
  const givenUp = (): (string | undefined)[] =>
    agent.commands.all.flatMap((command) =>
      command.$case === "giveUpImage" ? [command.value.image!.steps.at(-1)?.arguments[0]] : [],
    );
  publish(1, debian(run("shared"), run("first")));
  const first = await resolveOf("first");
  publish(2, debian(run("shared"), run("second")));
  await session.next("published", ({ id }) => id === 2);
  expect(givenUp()).toEqual([]);
  script.finish(agent, first.$case === "resolve" ? first.value : ({} as never), 1);
  await resolveOf("second");
  expect(givenUp()).toEqual(["first"]);
  publish(3, debian(run("third")));
  await resolveOf("third");
  expect(givenUp()).toEqual(["first", "second"]);
});
