// Secrets from the command line to a load: encrypted at rest, only for who names them, replaced when they change.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { AgentMessage } from "../../proto/gen/hob/v1/agents.ts";
import { CallsClient, type InspectResponse } from "../../proto/gen/hob/v1/calls.ts";
import { clientCredentials } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { makePlace, makePublish, openSession, publishAndLoad, startControl } from "./harness.ts";

const hob = (socket: string, args: string[], input = "") => run(socket, ["secrets", ...args], input);

async function run(socket: string, args: string[], input = ""): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(installRoot, "cli/main.ts"), ...args, "--control", `unix:${socket}`]);
  child.stdin.end(input);
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

function inspect(socket: string, call: string): Promise<InspectResponse> {
  const client = new CallsClient(`unix:${socket}`, clientCredentials(`unix:${socket}`));
  return new Promise<InspectResponse>((resolve, reject) => {
    client.inspect({ call }, (error, answer) => (error ? reject(error) : resolve(answer)));
  }).finally(() => client.close());
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

test("a secret that is not set fails load and call with its remedy; set, it travels in the load; changed, the container is replaced", async () => {
  using place = makePlace();
  const control = await startControl(place);
  {
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket);
    const publish = makePublish("v1", [{ name: "price" }, { name: "charge", secrets: ["API_KEY"] }]);
    session.send({ $case: "publish", value: publish });
    const sentence = "secret API_KEY is not set; run: hob secrets set API_KEY";
    const refused = await session.next("reloaded", ({ functions }) => functions.includes("charge"));
    expect(refused.failure).toMatchObject({ kind: "load", message: sentence });
    await session.next("reloaded", ({ functions, failure }) => functions.includes("price") && !failure); // nobody else suffers
    const early = await session.outcome(session.call("charge", [1]));
    expect(early.failure).toMatchObject({ kind: "load", message: sentence });

    expect(await hob(place.socket, ["set", "API_KEY"], "first-value-4711\n")).toMatchObject({
      code: 0,
      out: "Secret API_KEY is set. One container that had the former value will be replaced.\n",
    });
    const call = session.call("charge", [2]);
    expect((await session.outcome(call)).state).toBe("succeeded");
    const loads = () =>
      agent.commands.all.flatMap((command) =>
        command.$case === "load"
          ? [command.value]
          : command.$case === "dispatch" && command.value.load
            ? [command.value.load]
            : [],
      );
    const withValue = loads().filter(({ secrets }) => secrets["API_KEY"] === "first-value-4711");
    expect(withValue.length).toBeGreaterThan(0);
    const former = (await agent.dispatchOf(call)).container;

    expect((await hob(place.socket, ["set", "API_KEY", "--app", "shop"], "second-value-4712")).code).toBe(0);
    const stop = await agent.commands.of((command) => command.$case === "stop" && command.value.container === former);
    expect(stop.value).toMatchObject({ reason: "secret API_KEY has changed" });
    const after = session.call("charge", [3]);
    expect((await session.outcome(after)).state).toBe("succeeded");
    expect((await agent.dispatchOf(after)).container).not.toBe(former);
    expect(loads().at(-1)?.secrets).toEqual({ API_KEY: "second-value-4712" }); // the app's own goes before everybody's

    const listed = await hob(place.socket, ["list", "--json"]);
    expect(
      listed.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { kind: "secret", name: "API_KEY", app: "" },
      { kind: "secret", name: "API_KEY", app: "shop" },
    ]);
  }
  await control[Symbol.asyncDispose]();

  const files = filesBelow(place.folder);
  for (const file of files) {
    const content = readFileSync(file);
    for (const value of ["first-value-4711", "second-value-4712"]) expect(content.includes(value), file).toBe(false);
  }
  expect(statSync(join(place.state, "secrets.key")).mode & 0o777).toBe(0o600);
});

test("what a function prints, fails with or returns of its secret is not shown to who looks, also over a restart of control", async () => {
  using place = makePlace();
  const value = "first-value-4711";
  const file = join(place.folder, "key.txt");
  const control = await startControl(place);
  writeFileSync(file, `${value}\n`);
  expect((await hob(place.socket, ["set", "API_KEY", "--file", file])).code).toBe(0);
  const line = { call: "", app: "", function: "", stream: "stdout", timeMs: 1, dropped: 0, seq: 0, input: undefined };
  {
    using session = openSession(place.socket);
    using screen = openSession(place.socket, { client: "dev" });
    screen.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
    using agent = linkAgent(place.socket, {
      dispatch(self, dispatch) {
        if (dispatch.load) self.loaded(dispatch.load);
        const [wish] = JSON.parse(dispatch.arguments!.positional.toString()) as string[];
        const { call, container, attempt } = dispatch;
        const failure = {
          kind: "exception",
          type: "ValueError",
          message: `no ${value}`,
          traceback: `line 1\n${value}`,
          frames: [],
        };
        self.send({ $case: "logs", value: { lines: [{ ...line, call, container, text: `key is ${value}` }] } });
        if (wish === "return") self.succeed(dispatch, { key: value });
        else
          self.send(
            AgentMessage.fromPartial({ message: { $case: "finished", value: { call, container, attempt, failure } } }).message!,
          );
      },
    });
    await publishAndLoad(session, makePublish("v1", [{ name: "charge", secrets: ["API_KEY"] }]));
    const returned = session.call("charge", ["return"]);
    const heard = await session.outcome(returned);
    expect(JSON.parse(heard.result!.json.toString())).toEqual({ key: value }); // who called has what the function gave
    const seen = await screen.outcome(returned);
    expect(JSON.parse(seen.result!.json.toString())).toEqual({ key: "[secret API_KEY]" });
    const failed = await session.outcome(session.call("charge", ["fail"]));
    expect(failed.failure).toMatchObject({ message: "no [secret API_KEY]", traceback: "line 1\n[secret API_KEY]" });
    await screen.next("logs", ({ lines }) => lines.some(({ text: shown }) => shown === "key is [secret API_KEY]"));
    const inspected = {
      frames: [{ file: "app.py", line: 1, function: "charge", locals: [{ name: "key", value: `'${value}'` }] }],
    };
    const asked = session.call("charge", ["fail"]);
    const ended = await session.outcome(asked);
    expect((await agent.dispatchOf(asked)).keepFrames).toBe(true);
    const answer = inspect(place.socket, ended.id);
    const { value: order } = await agent.commands.of((command) => command.$case === "inspect");
    expect(order).toEqual({ call: ended.id, container: ended.container });
    agent.send(
      AgentMessage.fromPartial({ message: { $case: "inspected", value: { ...ended, call: ended.id, ...inspected } } }).message!,
    );
    expect((await answer).frames[0]?.locals).toEqual([{ name: "key", value: "'[secret API_KEY]'" }]);
    expect((await inspect(place.socket, returned)).reason).toBe("it has not failed");
    expect((await inspect(place.socket, "0".repeat(16))).reason).toBe("this call is not known any more");
    const { container } = await agent.dispatchOf(returned);
    agent.send({ $case: "logs", value: { lines: [{ ...line, container, text: `loaded ${value}` }] } }); // while it was imported
    await session.outcome(session.call("charge", ["return"])); // said after it
    expect(JSON.stringify(screen.arrivals.all)).not.toContain(value);
  }
  await control[Symbol.asyncDispose]();
  await using _second = await startControl(place);
  const shown = await run(place.socket, ["calls", "shop/charge", "--json"]);
  expect(shown.out).toContain("[secret API_KEY]");
  const logs = await run(place.socket, ["logs", "--json"]);
  expect(logs.out).toContain("loaded [secret API_KEY]");
  expect(shown.out + logs.out).not.toContain(value);
});

test("secrets outlive control; without their key they are refused with a remedy, and a removed one is missing again", async () => {
  using place = makePlace();
  await using first = await startControl(place);
  await hob(place.socket, ["set", "TOKEN"], "abc");
  await first[Symbol.asyncDispose]();
  {
    await using _second = await startControl(place);
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket);
    await publishAndLoad(session, makePublish("v1", [{ name: "price", secrets: ["TOKEN"] }]));
    const load = await agent.commands.of((command) => command.$case === "load");
    expect(load.value).toMatchObject({ secrets: { TOKEN: "abc" } });
    expect((await hob(place.socket, ["rm", "TOKEN"])).code).toBe(0);
    const gone = await session.outcome(session.call("price"));
    expect(gone.failure).toMatchObject({ kind: "load", message: "secret TOKEN is not set; run: hob secrets set TOKEN" });
    expect(await hob(place.socket, ["rm", "TOKEN"])).toMatchObject({ code: 3, err: expect.stringContaining("TOKEN is not set") });
    expect(await hob(place.socket, ["set", "TO KEN"], "x")).toMatchObject({
      code: 2,
      err: expect.stringContaining("cannot be the name"),
    });
    expect(await hob(place.socket, ["set", "TOKEN"], "")).toMatchObject({ code: 2, err: expect.stringContaining("is empty") });
    await hob(place.socket, ["set", "TOKEN"], "def");
  }
  rmSync(join(place.state, "secrets.key"));
  writeFileSync(join(place.state, "secrets.key"), Buffer.alloc(32), { mode: 0o600 });
  await using _third = await startControl(place);
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  const call = await session.outcome(session.call("price"));
  expect(call.failure?.message).toContain("is not the key that it was set with: run: hob secrets set TOKEN");
});
