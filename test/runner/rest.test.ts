// ④⑦ REST, and the Python SDK over it: everything that the description says is asked of a server, and what it answers is of the shape that it says.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { openApi } from "../../control/gateway/openapi.ts";
import { type GatewayPlace, openGateway } from "./gateway-place.ts";

const program = `
import time
import hob
app = hob.App("shop")

@app.function()
def same(x):
    return x

@app.function()
def wait():
    time.sleep(600)

@app.function()
def fail(x):
    raise ValueError("bad " + str(x))
`;

let open: GatewayPlace;
beforeAll(async () => {
  open = await openGateway("python", program, { same: { kind: "" }, fail: { kind: "" }, wait: { kind: "" } });
});
afterAll(() => open[Symbol.asyncDispose]());

/** At the socket, where nobody needs a token. */
async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; text: string; value: unknown }> {
  const asked = request({ socketPath: open.socket, method, path });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = await once(asked, "response");
  const said = await text(response);
  return { status: response.statusCode, text: said, value: JSON.parse(said) as unknown };
}

type Schema = { [key: string]: unknown };

/** Where a value is not of a schema, of the few words of JSON Schema that the description uses. */
function misfits(value: unknown, schema: Schema, at = "$"): string[] {
  if (typeof schema["$ref"] === "string") {
    const name = schema["$ref"].split("/").at(-1)!;
    return misfits(value, openApi.components.schemas[name as keyof typeof openApi.components.schemas] as Schema, at);
  }
  if (schema["anyOf"])
    return (schema["anyOf"] as Schema[]).some((one) => misfits(value, one).length === 0) ? [] : [`${at}: none of anyOf`];
  if (schema["enum"]) return (schema["enum"] as unknown[]).includes(value) ? [] : [`${at}: ${String(value)}`];
  const is = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const wanted = schema["type"];
  const fits = wanted === undefined || wanted === is || (wanted === "integer" && Number.isInteger(value));
  if (!fits) return [`${at}: ${is} is not ${String(wanted)}`];
  if (is === "array")
    return (value as unknown[]).flatMap((item, n) => misfits(item, (schema["items"] ?? {}) as Schema, `${at}[${n}]`));
  if (is !== "object" || !schema["properties"]) return [];
  const properties = schema["properties"] as Record<string, Schema>;
  const lacking = (schema["required"] as string[]).filter((name) => !Object.hasOwn(value as object, name));
  const found = Object.entries(value as object).flatMap(([name, item]) =>
    properties[name] ? misfits(item, properties[name], `${at}.${name}`) : [`${at}.${name} is not described`],
  );
  return [...lacking.map((name) => `${at}.${name} is lacking`), ...found];
}

test("every operation that is described is answered as described, and docs/openapi.json is that description", async () => {
  const published = join(installRoot, "docs/openapi.json");
  expect(JSON.parse(readFileSync(published, "utf8"))).toEqual(JSON.parse(JSON.stringify(openApi)));
  const { value: call } = await ask("POST", "/v1/apps/shop/functions/same/call", { args: [1] });
  const { value: map } = await ask("POST", "/v1/apps/shop/functions/same/map", { inputs: [1, 2] });
  const ids = { calls: (call as { id: string }).id, maps: (map as { id: string }).id };
  const bodies = { call: { args: ["x"], wait: 30 }, map: { inputs: [[1], [2]], spread: true } };
  const seen: string[] = [];
  for (const [path, operations] of Object.entries(openApi.paths)) {
    for (const [method, operation] of Object.entries(operations as Record<string, Schema>)) {
      const id = path.startsWith("/v1/maps") ? ids.maps : ids.calls;
      const concrete = path.replace("{app}", "shop").replace("{function}", "same").replace("{id}", id);
      const asked = await ask(method.toUpperCase(), concrete, bodies[operation["operationId"] as keyof typeof bodies]);
      const responses = operation["responses"] as Record<string, { content: Record<string, { schema: Schema }> }>;
      const schema = responses[asked.status]?.content["application/json"]?.schema;
      expect(schema, `${method} ${concrete} answered ${asked.text}`).toBeDefined();
      expect(misfits(asked.value, schema!), `${method} ${concrete}`).toEqual([]);
      seen.push(`${operation["operationId"]} ${asked.status}`);
    }
  }
  expect(seen).toHaveLength(10);
  const described = openApi.components.schemas.Error as Schema;
  for (const [method, path, body] of [
    ["GET", "/v1/nothing", undefined],
    ["PUT", "/v1/apps", undefined],
    ["GET", "/v1/calls/0000000000000000", undefined],
    ["POST", "/v1/apps/shop/functions/same/call", { args: 1 }],
    ["POST", "/v1/apps/shop/functions/none/map", { inputs: [] }],
  ] as const) {
    const refused = await ask(method, path, body);
    expect([refused.status >= 400, misfits(refused.value, described)], refused.text).toEqual([true, []]);
  }
  const byAddress = await fetch(`${open.url}/v1/apps`);
  expect(byAddress.status).toBe(401); // a loopback address is anybody's of this machine
});

test("numbers stay as they were written, and failures come with what the function said", async () => {
  const big = await ask("POST", "/v1/apps/shop/functions/same/call", { args: [1] });
  expect(big.status).toBe(200);
  const asked = request({ socketPath: open.socket, method: "POST", path: "/v1/apps/shop/functions/same/call" });
  asked.end('{"args":[[12345678901234567890, 1e400, {"a": 0.1}]]}');
  const [response] = await once(asked, "response");
  expect(await text(response)).toContain('"result":[12345678901234567890');
  const failed = await ask("POST", "/v1/apps/shop/functions/fail/call", { args: [3] });
  expect(failed.value).toMatchObject({ state: "failed", failure: { type: "ValueError", message: "bad 3" } });
  const unknown = await ask("POST", "/v1/apps/shop/functions/sam/call", {});
  expect(unknown.value).toMatchObject({
    state: "failed",
    failure: { kind: "arguments", message: expect.stringContaining("same") },
  });
});

test("a Python program that nobody started with hob calls, spawns and maps", async () => {
  const script = `
import hob
same = hob.Function.from_name("shop", "same")
fail = hob.Function.from_name("shop", "fail")
print(same.remote([1, b"x", float("inf"), 2**70]))
call = same.spawn({"a": 1})
print(call.get(timeout=30), list(same.map(range(5))), list(same.starmap([(1,), (2,)])))
try:
    fail.remote(7)
except hob.RemoteError as error:
    print(error.type, error.message)
import hob_tasks
print(hob_tasks.call("shop", "same", 5), hob_tasks.each("shop", "same", "ab"))
print([type(each).__name__ for each in fail.map([1, 2], return_exceptions=True)])
try:
    same.remote(1, 2)
except hob.ArgumentsRefused as error:
    print("refused", error.message[:12])
`;
  const child = spawn("/usr/bin/python3", ["-c", script], {
    env: {
      ...process.env,
      PYTHONPATH: ["sdk/python", "examples/orchestrators"].map((path) => join(installRoot, path)).join(":"),
      HOB_CONTROL: `unix:${open.place.socket}`,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect((await text(child.stdout)).split("\n")).toEqual(
    [
      "[1, b'x', inf, 1180591620717411303424]",
      "{'a': 1} [0, 1, 2, 3, 4] [1, 2]",
      "ValueError bad 7",
      "5 ['a', 'b']",
      "['RemoteError', 'RemoteError']",
      "refused same",
      "",
    ].map((line, at) => (at === 5 ? expect.stringMatching(/^refused /) : line)),
  );
});

test("a TypeScript program that nobody started with hob calls, spawns and maps", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-rest-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(installRoot, join(folder, "node_modules/hob")); // as `npm install PATH` does
    writeFileSync(
      join(folder, "program.mts"),
      `import { functionFromName, RemoteError } from "hob";
import "hob/rest";
const same = functionFromName<any[], any>("shop", "same");
const fail = functionFromName<any[], any>("shop", "fail");
const say = (value: unknown) => console.log(JSON.stringify(value));
say(await same.remote([1, "x", { a: null }]));
say([...(await same.remote(new Uint8Array([1, 2])))]);
const call = same.spawn({ a: 1 });
say([await call.get(), await Array.fromAsync(same.map([0, 1, 2])), await Array.fromAsync(same.starmap([[1], [2]]))]);
await fail.remote(7).catch((error: RemoteError) => say([error.type, error.kind]));
say((await Array.fromAsync(fail.map([1, 2], { returnExceptions: true }))).map((each: Error) => each.constructor.name));
const third = functionFromName("shop", "same", { version: 9 });
for (const make of [() => functionFromName("shop", "none").remote(), () => same.spawnMap([1]), () => third.remote(1)])
  await make().catch((error: RemoteError) => say(error.message.slice(0, 40)));
`,
    );
    const child = spawn(process.execPath, ["program.mts"], {
      cwd: folder,
      env: { ...process.env, HOB_CONTROL: `unix:${open.place.socket}` },
      stdio: ["ignore", "pipe", "inherit"],
    });
    expect(
      (await text(child.stdout))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      [1, "x", { a: null }],
      [1, 2],
      [{ a: 1 }, [0, 1, 2], [1, 2]],
      ["ValueError", "exception"],
      ["RemoteError", "RemoteError"],
      expect.stringMatching(/none/),
      "same: spawnMap needs hob; run this progr",
      "shop has no deployment 9: it has never b",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// Last: the agent's double does not break the runner's call off, which stays busy.
test("a task that its orchestrator ends cancels the call that it waits for", async () => {
  const script = `
import signal
import hob_tasks

def end(*_):
    raise SystemExit("ended by the orchestrator")

signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, 0.5)
hob_tasks.call("shop", "wait")
`;
  const PYTHONPATH = ["sdk/python", "examples/orchestrators"].map((path) => join(installRoot, path)).join(":");
  const env = { ...process.env, PYTHONPATH, HOB_CONTROL: `unix:${open.place.socket}` };
  const child = spawn("/usr/bin/python3", ["-c", script], { env, stdio: ["ignore", "ignore", "pipe"] });
  expect(await text(child.stderr)).toBe("ended by the orchestrator\n");
  const figures = await (await fetch(`${open.url}/metrics`)).text();
  expect(figures).toContain('hob_calls_total{app="shop",function="wait",state="cancelled"} 1');
});
