// ④⑥ Fetch handlers over HTTP: the gateway, control and a real runner; a framework among them.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type GatewayPlace, openGateway } from "./gateway-place.ts";

const program = `
import { Hono } from "hono";
import { streamText } from "hono/streaming";
import { App } from "hob";

const app = new App("shop");
const hono = new Hono();
hono.get("/users/:id", (c) => c.json({ id: c.req.param("id"), q: c.req.query("q"), at: c.req.header("x-forwarded-prefix") }));
hono.post("/form", async (c) => c.text(String((await c.req.parseBody()).title), 201, { "x-made": "yes" }));
hono.get("/stream", (c) => streamText(c, async (out) => { for (const word of ["one ", "two "]) { await out.write(word); await out.sleep(1); } }));
hono.onError((error, c) => c.text("caught " + error.message, 418));
hono.get("/throws", () => { throw new Error("teapot"); });
export const api = app.fetch({ path: "/api" }, hono.fetch);

export const plain = app.fetch({}, async (request: Request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/none") return undefined as never;
  if (pathname === "/endless") {
    let n = 0;
    return new Response(new ReadableStream({
      pull(controller) { controller.enqueue(new Uint8Array(65536)); n++; },
      cancel() { console.log("left after more than " + (n > 10 ? 10 : 0)); },
    }));
  }
  const headers = new Headers({ "content-type": "application/octet-stream" });
  headers.append("set-cookie", "a=1");
  headers.append("set-cookie", "b=2");
  return new Response(new Uint8Array(await request.arrayBuffer()).reverse(), { headers });
});
`;

let open: GatewayPlace;
beforeAll(async () => {
  open = await openGateway("typescript", program, { api: { kind: "fetch", path: "/api" }, plain: { kind: "fetch" } });
});
afterAll(() => open[Symbol.asyncDispose]());

test("an app made with Hono answers below its path: JSON, forms, streams, and its own errors", async () => {
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${open.url}/shop/api${path}`, init);
    return [response.status, await response.text()];
  };
  expect(await ask("/users/a%20b?q=1")).toEqual([200, '{"id":"a b","q":"1","at":"/shop/api"}']);
  const form = new FormData();
  form.set("title", "ein Titel");
  expect(await ask("/form", { method: "POST", body: form })).toEqual([201, "ein Titel"]);
  expect(await ask("/stream")).toEqual([200, "one two "]);
  expect(await ask("/throws")).toEqual([418, "caught teapot"]);
  expect(await ask("/nothing")).toEqual([404, "404 Not Found"]);
});

test("bodies go in and out as they are, what is left is ended, and what is no Response is said", async () => {
  const bytes = Buffer.from(Array.from({ length: 2 << 20 }, (_, at) => at % 251));
  const response = await fetch(`${open.url}/shop/plain`, { method: "PUT", body: bytes });
  expect(Buffer.from(await response.arrayBuffer()).equals(Buffer.from(bytes).reverse())).toBe(true);
  expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  const none = await fetch(`${open.url}/shop/plain/none`);
  expect([none.status, await none.json()]).toEqual([
    500,
    {
      error: expect.objectContaining({
        type: "TypeError",
        message: "a fetch handler returns a Response, and this one returned undefined",
      }),
    },
  ]);
  const reader = (await fetch(`${open.url}/shop/plain/endless`)).body!.getReader();
  for (let bytes = 0; bytes < 4 << 20; bytes += (await reader.read()).value!.byteLength) {}
  await reader.cancel();
  await open.harness.line("left after more than 10");
  expect((await fetch(`${open.url}/shop/plain`, { method: "POST", body: "ab" })).headers.get("hob-version")).toMatch(
    /^[0-9a-f]{64}$/,
  );
});
