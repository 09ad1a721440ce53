// ④⑥ Endpoints in Python over HTTP: the gateway, control and a real runner.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type CreateTokenResponse, MembersClient } from "../../proto/gen/hob/v1/members.ts";
import { clientCredentials, unixAddress } from "../../proto/transport.ts";
import { makePublish } from "../control/harness.ts";
import { type GatewayPlace, openGateway, raw } from "./gateway-place.ts";

const program = `
import enum, time
import hob

app = hob.App("shop")

class Size(enum.Enum):
    small = "s"
    large = "l"

@app.endpoint()
def hello(name: str = "world", times: int = 1, loud: bool = False):
    return {"hello": name * times, "loud": loud}

@app.endpoint("/items/{id}", methods=["GET", "PUT"])
def item(id: int, size: Size = Size.small, tags: list[int] = []):
    return {"id": id, "size": size, "tags": tags}

@app.endpoint()
def picture(file: hob.Upload, title: str):
    return {"name": file.filename, "bytes": len(file.data), "sum": sum(file.data) % 997, "title": title}

@app.endpoint()
def raw(body: bytes):
    return body[::-1]

@app.endpoint()
def made(request: hob.Request):
    return hob.Response({"path": request.path, "agent": request.headers.get("x-test"), "seen": "authorization" in request.headers}, status=201, headers={"x-made": "yes"})

@app.endpoint()
def count(to: int):
    try:
        for n in range(to):
            yield {"n": n}
            if n == 0:
                print("first")
    finally:
        print("left after", n)

@app.endpoint()
def flood():
    sent = 0
    for _ in range(64):
        yield bytes(1 << 18)
        sent += 1 << 18
        print("sent", sent)

@app.endpoint()
async def later():
    async def parts():
        for text in ("one ", "two"):
            yield text
    return hob.Response(parts(), content_type="text/event-stream")

@app.endpoint()
def large(megabytes: int):
    return b"x" * (megabytes << 20)

@app.endpoint()
def broken():
    raise ValueError("a secret reason")

@app.endpoint()
def half():
    yield "half"
    raise ValueError("no more")

@app.asgi()
def web():
    state = {}
    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            state["started"] = state.get("started", 0) + 1
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
        text = f"{scope['method']} {scope['root_path']} {scope['path']} {scope['query_string'].decode()} {body.decode()} {state['started']}"
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"."})
    return asgi
`;

let open: GatewayPlace;
beforeAll(async () => {
  open = await openGateway("python", program, {
    hello: {},
    item: { path: "/items/{id}", methods: ["GET", "PUT"] },
    ...{ picture: {}, raw: { maxBodyBytes: 3 << 20 }, made: {}, count: {}, flood: {}, later: {}, large: {} },
    ...{ broken: {}, half: {}, web: { kind: "asgi" } },
  });
});
afterAll(() => open[Symbol.asyncDispose]());

const ask = async (path: string, init?: RequestInit): Promise<[number, unknown]> => {
  const response = await fetch(`${open.url}/shop${path}`, init);
  const text = await response.text();
  return [response.status, response.headers.get("content-type") === "application/json" ? JSON.parse(text) : text];
};
const json = (value: unknown): RequestInit => ({
  method: "POST",
  body: JSON.stringify(value),
  headers: { "content-type": "application/json" },
});

test("parameters come from path, query and body, converted as they are annotated", async () => {
  expect(await ask("/hello")).toEqual([200, { hello: "world", loud: false }]);
  expect(await ask("/hello?name=a%20b&times=2&loud=yes&utm=1")).toEqual([200, { hello: "a ba b", loud: true }]);
  expect(await ask("/hello?times=2", json({ name: "x", loud: true }))).toEqual([200, { hello: "xx", loud: true }]);
  expect(await ask("/items/7?size=l&tags=1&tags=2")).toEqual([200, { id: 7, size: "l", tags: [1, 2] }]);
});

test("what does not fit is refused with a sentence that names the parameter and what came", async () => {
  const refused = async (path: string, init?: RequestInit): Promise<unknown> => {
    const [status, body] = await ask(path, init);
    return [status, (body as { error: { message: string } }).error.message];
  };
  expect(await refused("/hello?times=two")).toEqual([422, 'hello: "times" is "two", which is not a whole number']);
  expect(await refused("/hello", json({ times: "2" }))).toEqual([422, 'hello: "times" is "2", which is not a whole number']);
  expect(await refused("/items/7?size=m")).toEqual([422, 'item: "size" is "m", which is not one of "s", "l"']);
  expect(await refused("/count")).toEqual([422, 'count: "to" is missing; give it in the query or in the body']);
  expect(await refused("/hello", { ...json({}), body: "{" })).toEqual([
    400,
    expect.stringMatching(/^hello: the body is not JSON/),
  ]);
  expect(await refused("/items/7", { method: "DELETE" })).toEqual([405, "/shop/items/7 takes GET and PUT, not DELETE"]);
  expect(await refused("/helo")).toEqual([404, expect.stringMatching(/^nothing answers \/shop\/helo; there is \/shop\/hello, /)]);
  const large = { method: "POST", body: Buffer.alloc((3 << 20) + 1) };
  const limit = "the body for /shop/raw is over its limit of 3 MiB: send less, or declare the endpoint with a larger max_body";
  expect(await refused("/raw", large)).toEqual([413, limit]);
});

test("bodies go in and come out as they are: bytes, uploads, and more than a message holds", async () => {
  const bytes = Buffer.from(Array.from({ length: 2 << 20 }, (_, at) => at % 251));
  const reversed = await fetch(`${open.url}/shop/raw`, { method: "POST", body: bytes });
  expect(Buffer.from(await reversed.arrayBuffer()).equals(Buffer.from(bytes).reverse())).toBe(true);
  const form = new FormData();
  form.set("title", "ein Bild");
  form.set("file", new Blob([bytes.subarray(0, 70_000)]), "a.png");
  const sum = bytes.subarray(0, 70_000).reduce((all, each) => all + each, 0) % 997;
  expect(await ask("/picture", { method: "POST", body: form })).toEqual([
    200,
    { name: "a.png", bytes: 70_000, sum, title: "ein Bild" },
  ]);
  const large = await fetch(`${open.url}/shop/large?megabytes=5`);
  expect([large.headers.get("content-length"), (await large.arrayBuffer()).byteLength]).toEqual([String(5 << 20), 5 << 20]);
  const made = await fetch(`${open.url}/shop/made`, { headers: { "x-test": "me", authorization: "Basic abc" } });
  expect([made.status, made.headers.get("x-made"), made.headers.get("hob-version")]).toEqual([
    201,
    "yes",
    expect.stringMatching(/^[0-9a-f]{64}$/),
  ]);
  expect(await made.json()).toEqual({ path: "/made", agent: "me", seen: true });
  expect(await raw(open.url, "HEAD /shop/hello HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 200 OK[\s\S]*\r\n\r\n$/,
  );
});

test("a generator's answer is sent as it comes, no faster than it is read, and left when nobody reads on", async () => {
  const response = await fetch(`${open.url}/shop/count?to=3`);
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  expect(await response.text()).toBe('{"n":0}\n{"n":1}\n{"n":2}\n');
  expect(await (await fetch(`${open.url}/shop/later`)).text()).toBe("one two");

  const endless = await fetch(`${open.url}/shop/count?to=1000000000`);
  const reader = endless.body!.getReader();
  expect(Buffer.from((await reader.read()).value!).toString()).toMatch(/^\{"n":0\}\n/);
  await reader.cancel();
  await open.harness.line("left after"); // its `finally` has run
  expect(await ask("/hello")).toEqual([200, { hello: "world", loud: false }]); // in the same process, which lives

  const flood = await fetch(`${open.url}/shop/flood`);
  expect((await flood.arrayBuffer()).byteLength).toBe(64 << 18);
  let sent = 0;
  const { onPart, runner } = open.harness;
  open.harness.onPart = ({ data }) => {
    sent += data.byteLength;
    if (sent >= 1 << 20) runner.partsTaken("f".repeat(16), 0, true); // nothing of it has been taken until then
  };
  const call = "f".repeat(16);
  const head = { kind: "function", method: "GET", path: "/flood", prefix: "/shop", query: "", headers: [], parameters: {} };
  const { failure } = await runner.call({
    ...{ call, ...open.loaded("flood"), timeoutMs: 0, positional: Buffer.alloc(0), keywords: Buffer.alloc(0) },
    request: { ...head, headers: [], origin: "http://127.0.0.1", client: "" },
  });
  open.harness.onPart = onPart;
  expect([failure, sent]).toEqual([undefined, 1 << 20]);
});

test("an ASGI app answers all below its path, with one lifespan for all requests", async () => {
  const response = await fetch(`${open.url}/shop/web/a%20b/c?q=1`, { method: "PUT", body: "text" });
  expect([response.status, await response.text()]).toEqual([202, "PUT /shop/web /a b/c q=1 text 1."]);
  expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  expect(await (await fetch(`${open.url}/shop/web`)).text()).toBe("GET /shop/web /   1.");
});

test("a failure before the answer is a status, one in the middle cuts the answer, and both are recorded", async () => {
  const [status, body] = await ask("/broken");
  expect([status, body]).toEqual([
    500,
    { error: { kind: "exception", type: "ValueError", message: "a secret reason", call: expect.any(String) } },
  ]);
  const half = await fetch(`${open.url}/shop/half`);
  await expect(half.text()).rejects.toThrow();
  open.session.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
  const { apps } = await open.session.next("watching");
  const recorded = apps[0]!.recent.map((call) => [call.state, call.failure?.message, call.arguments?.positional.toString()]);
  expect(recorded).toEqual([
    ["failed", "no more", '["GET /shop/half"]'],
    ["failed", "a secret reason", '["GET /shop/broken"]'],
  ]); // of those that were answered nothing is kept
});

test("an endpoint for tokens asks for one, and two functions on one path are refused with both names", async () => {
  const wish = (name: string, path: string) => ({
    name,
    endpoint: { kind: "function", path, methods: ["GET"], access: "token", maxBodyBytes: 0 },
  });
  open.session.send({
    $case: "publish",
    value: makePublish(program, [wish("closed", "/hidden"), wish("hello", "/hidden")], { id: 7 }),
  });
  const { failure } = await open.session.next("published", ({ id }) => id === 7);
  expect(failure?.message).toBe(
    'publishing shop: closed and hello both answer GET of /shop/hidden: give one of them another path="…" or methods=[…]',
  );
  open.session.send({ $case: "publish", value: makePublish(program, [wish("hello", "/hidden")], { id: 8 }) });
  await open.session.next("published", ({ id }) => id === 8);
  const members = new MembersClient(unixAddress(open.place.socket), clientCredentials(unixAddress(open.place.socket)));
  const { url: token } = await new Promise<CreateTokenResponse>((resolve, reject) =>
    members.createToken({ scope: "call", note: "", expiresInMs: 0 }, (error, made) => (error ? reject(error) : resolve(made))),
  );
  members.close();
  const shown = { headers: { authorization: `Bearer ${token}` } };
  expect([(await ask("/hidden"))[0], await ask("/hidden", shown)]).toEqual([401, [200, { hello: "world", loud: false }]]);
  expect((await ask("/hidden", { headers: { "hob-token": token.slice(0, -1) } }))[0]).toBe(401);
});

test("figures and health are there for whoever watches", async () => {
  const metrics = await (await fetch(`${open.url}/metrics`)).text();
  expect(metrics).toMatch(/^hob_requests_total\{app="shop",function="item",status="200"\} 1$/m);
  expect(metrics).toMatch(/^hob_request_duration_seconds_bucket\{app="shop",function="broken",le="\+Inf"\} 1$/m);
  expect(metrics).toMatch(/^hob_nodes 1$/m);
  const health = await fetch(`${open.url}/healthz`);
  expect([health.status, await health.json()]).toEqual([200, { ok: true }]);
});
