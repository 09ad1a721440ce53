// ④ The gateway's decisions: which function answers, which stand in each other's way, and who may ask.

import { expect, test } from "vitest";
import { type Door, endpointRefusal, metricsRefusal, restRefusal, type Visitor } from "../../control/gateway/permit.ts";
import { conflictOf, findRoute } from "../../control/gateway/routes.ts";
import { Endpoint, FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
import { TokenInfo } from "../../proto/gen/hob/v1/members.ts";

const spec = (name: string, path: string, methods: string[] = [], kind = "function"): FunctionSpec =>
  FunctionSpec.fromPartial({ name, endpoint: { kind, path, methods } });

test("the most exact path answers, and what it stands before is what an app of its own sees", () => {
  const specs = [
    spec("all", "/", [], "asgi"),
    spec("web", "/web", [], "fetch"),
    spec("any", "/items/{id}"),
    spec("best", "/items/best", ["GET"]),
    spec("put", "/items/{key}", ["PUT"]),
    FunctionSpec.fromPartial({ name: "plain" }),
  ];
  const answers = (method: string, path: string): string => {
    const found = findRoute(specs, "shop", method, path);
    if (!found || "allowed" in found) return found ? `allowed ${found.allowed}` : "none";
    return `${found.spec.name} ${JSON.stringify(found.parameters)} ${found.prefix} ${found.rest}`;
  };
  expect([answers("GET", "/items/best"), answers("HEAD", "/items/best")]).toEqual(Array(2).fill("best {} /shop /items/best"));
  expect(answers("POST", "/items/best")).toBe('any {"id":"best"} /shop /items/best');
  expect(answers("PUT", "/items/a%2Fb%20c/")).toBe('put {"key":"a/b c"} /shop /items/a%2Fb%20c/');
  expect(answers("DELETE", "/web/x%20y/")).toBe("web {} /shop/web /x%20y/");
  expect(answers("GET", "/web")).toBe("web {} /shop/web /");
  expect(answers("GET", "/webs")).toBe("all {} /shop /webs");
  expect(answers("GET", "/items/%ff")).toBe("all {} /shop /items/%ff");
  specs.shift();
  expect(["/items/%ff", "/webs"].map((path) => answers("GET", path))).toEqual(["none", "none"]);
  expect(answers("DELETE", "/items/best")).toBe("allowed GET,POST,PUT");
});

test("two functions that could both answer a request are named with it", () => {
  const both = (...specs: FunctionSpec[]) => conflictOf("shop", specs);
  expect(both(spec("a", "/x/{id}"), spec("b", "/x/{key}"))).toBe(
    'a and b both answer GET and POST of /shop/x/{id}: give one of them another path="…" or methods=[…]',
  );
  expect(both(spec("a", "/x", ["GET"]), spec("b", "/x", ["PUT"]), spec("c", "/y"), spec("d", "/x", [], "asgi"))).toBeUndefined();
  expect(both(spec("a", "/", [], "asgi"), spec("b", "/", [], "fetch"))).toMatch(/^a and b both answer every request of \/shop\//);
});

test("who may ask what hangs on the door, the token and the endpoint's own word", () => {
  const token = (scope: string) => TokenInfo.fromPartial({ id: "1f", scope });
  const visitor = (door: Door, more: Partial<Visitor> = {}): Visitor => {
    return { door, token: undefined, host: "127.0.0.1:17000", origin: undefined, ...more };
  };
  const refused = (access: string, who: Visitor) => endpointRefusal(Endpoint.create({ access }), who)?.status ?? "open";
  const table: [string, Visitor, unknown][] = [
    ["public", visitor("network"), "open"],
    ["token", visitor("socket"), "open"],
    ["", visitor("loopback"), "open"],
    ["", visitor("loopback", { host: "localhost:1", origin: "http://localhost:1" }), "open"],
    ["", visitor("loopback", { origin: "https://elsewhere.example" }), 403], // a page of the web in a browser here
    ["", visitor("loopback", { host: "elsewhere.example" }), 403], // a name that was pointed here
    ["public", visitor("loopback", { origin: "https://elsewhere.example" }), "open"],
    ["token", visitor("loopback"), 401],
    ["", visitor("network"), 401],
    ["", visitor("network", { token: "it has ended" }), 401],
    ["", visitor("network", { token: token("call") }), "open"],
    ["token", visitor("loopback", { token: token("client") }), "open"],
    ["token", visitor("loopback", { token: token("read-only") }), 403],
    ["", visitor("loopback", { token: token("agent") }), 403],
  ];
  expect(table.map(([access, who]) => refused(access, who))).toEqual(table.map(([, , outcome]) => outcome));
  const rest = (who: Visitor, reading: boolean) => restRefusal(who, reading)?.status ?? "open";
  expect([rest(visitor("loopback"), true), rest(visitor("socket"), false)]).toEqual([401, "open"]);
  const reader = visitor("network", { token: token("read-only") });
  expect([rest(reader, true), rest(reader, false), metricsRefusal(reader)]).toEqual(["open", 403, undefined]);
  expect([metricsRefusal(visitor("loopback")), metricsRefusal(visitor("network"))?.status]).toEqual([undefined, 401]);
});
