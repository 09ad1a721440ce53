// ⑦ Traces: requests and calls as spans, from who asks to the container, as a collector of OpenTelemetry hears them.

import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import { httpSocketOf } from "../../control/gateway/gateway.ts";
import { type HeardSpan, startCollector } from "../drive/collector.ts";
import { answer, linkAgent } from "./agent-double.ts";
import { Arrivals, makePlace, makePublish, openSession, publishAndLoad, startControl } from "./harness.ts";

afterEach(() => vi.unstubAllEnvs());

const outside = { trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331" };
const traceparent = `00-${outside.trace}-${outside.span}-01`;
const price = { name: "price", endpoint: { kind: "function", path: "/price", methods: ["GET"] }, retries: 1 };

test("a request, a call with a retry and a call that it makes are spans of their callers' traces, with what their time went to", async () => {
  await using collector = await startCollector();
  vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url);
  using place = makePlace();
  const failing = new Set<string>();
  let handed: string | undefined;
  {
    await using _control = await startControl(place);
    using session = openSession(place.socket);
    using agent = linkAgent(place.socket, {
      dispatch(self, dispatch) {
        handed ??= dispatch.request?.headers.find(({ name }) => name === "traceparent")?.value;
        if (dispatch.load) self.loaded(dispatch.load);
        if (failing.delete(dispatch.call)) self.fail(dispatch, "exception");
        else if (dispatch.version!.function !== "outer") answer(self, { ...dispatch, load: undefined });
      },
    });
    await publishAndLoad(session, makePublish("v1", [price, { name: "outer" }]));
    const socketPath = httpSocketOf(place.socket);
    const asked = request({ socketPath, path: "/shop/price?a=1", headers: { traceparent } }).end();
    const [response] = await once(asked, "response");
    expect([response.statusCode, await text(response)]).toEqual([200, expect.any(String)]);

    const id = "00000000000000c1";
    failing.add(id);
    session.call("price", ["tea"], { id, traceparent: traceparent.replace("b7", "b8") });
    expect(await session.outcome(id)).toMatchObject({ state: "succeeded", attempt: 2 });
    const outer = session.call("outer");
    const order = await agent.dispatchOf(outer);
    const given = { positional: Buffer.from("[1]"), keywords: Buffer.alloc(0), large: undefined };
    const child = { id: "00000000000000c2", app: "shop", function: "price", version: "", arguments: given, parent: outer };
    agent.send({ $case: "child", value: { ...child, origin: "function" } });
    await agent.commands.of((command) => command.$case === "childFinished");
    agent.fail(order, "exception");
    expect(await session.outcome(outer)).toMatchObject({ state: "failed" });
  }
  const { spans } = collector;
  const named = (name: string, parent?: string): HeardSpan => {
    const found = spans.filter((span) => span.name === name && (parent === undefined || span.parentSpanId === parent));
    expect(found, name).toHaveLength(1);
    return found[0]!;
  };
  const within = ({ spanId }: HeardSpan) => spans.filter(({ parentSpanId }) => parentSpanId === spanId).map(({ name }) => name);

  const served = named("GET /shop/price");
  expect(served).toMatchObject({
    traceId: outside.trace,
    parentSpanId: outside.span,
    kind: 2,
    failure: "",
    service: "hob-control",
  });
  expect(served.attributes).toMatchObject({ "http.request.method": "GET", "url.path": "/shop/price", "hob.node": "node-1" });
  expect(served.attributes["hob.container"]).toBe(named("run", served.spanId).attributes["hob.container"]);
  expect(handed).toBe(`00-${outside.trace}-${served.spanId}-01`);
  expect(within(served)).toEqual(["queue", "run"]);
  expect(
    spans.filter((span) => span.parentSpanId === served.spanId && (span.fromMs < served.fromMs || span.toMs > served.toMs)),
  ).toEqual([]);

  const again = named("shop/price", outside.span.replace("b7", "b8"));
  expect(again.attributes).toMatchObject({ "hob.call": "00000000000000c1", "hob.attempts": 2, "hob.state": "succeeded" });
  expect(within(again)).toEqual(["attempt", "queue", "run"]);
  expect(named("attempt")).toMatchObject({ parentSpanId: again.spanId, failure: "it failed: exception" });

  const outer = named("shop/outer");
  expect(outer).toMatchObject({ parentSpanId: "", failure: "it failed: exception" });
  expect(within(outer)).toEqual(["shop/price", "queue", "run"]);
  expect(named("shop/price", outer.spanId)).toMatchObject({ traceId: outer.traceId, attributes: { "hob.origin": "function" } });
});

test("without a collector nothing is traced, one that is no address or is not there is told of and waited for by nobody", async () => {
  const started = async (endpoint: string) => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    using place = makePlace();
    const logged = new Arrivals<{ msg: string; collector?: string }>();
    const log = pino({ level: "info" }, { write: (line: string) => logged.add(JSON.parse(line)) });
    {
      await using _control = await startControl(place, { log });
      using session = openSession(place.socket);
      using agent = linkAgent(place.socket);
      await publishAndLoad(session, makePublish("v1", [price]));
      const id = session.call("price", [1], { traceparent });
      expect(await session.outcome(id)).toMatchObject({ state: "succeeded" });
      expect(await agent.dispatchOf(id)).toMatchObject({ attempt: 1 });
    }
    return logged.all.filter(({ msg }) => msg.includes("traces")).map(({ msg }) => msg);
  };
  expect(await started("")).toEqual([]);
  expect(await started("collector:4318")).toEqual([expect.stringContaining("OTEL_EXPORTER_OTLP_ENDPOINT is no address")]);
  vi.stubEnv("OTEL_EXPORTER_OTLP_TIMEOUT", "200");
  expect(await started("http://127.0.0.1:9")).toEqual(["traces cannot be delivered"]);
});
