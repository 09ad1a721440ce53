// A small collector of OpenTelemetry: hears spans by OTLP over HTTP as JSON, as any backend does.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface HeardSpan {
  service: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: number;
  /** Unix ms. */
  fromMs: number;
  toMs: number;
  attributes: Record<string, unknown>;
  /** "" where it did not fail. */
  failure: string;
}

export interface Collector extends AsyncDisposable {
  url: string;
  spans: HeardSpan[];
}

interface Wire {
  key: string;
  value: { stringValue?: string; intValue?: string | number; arrayValue?: { values: { stringValue: string }[] } };
}

function valuesOf(attributes: Wire[] = []): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const list = value.arrayValue?.values.map(({ stringValue }) => stringValue);
      return [key, value.stringValue ?? list ?? Number(value.intValue)];
    }),
  );
}

type Body = { resourceSpans: { resource: { attributes: Wire[] }; scopeSpans: { spans: Record<string, never>[] }[] }[] };

function spansIn(body: Body): HeardSpan[] {
  return body.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span: Record<string, unknown>) => ({
        service: String(valuesOf(resource.attributes)["service.name"]),
        ...{ traceId: String(span["traceId"]), spanId: String(span["spanId"]), parentSpanId: String(span["parentSpanId"] ?? "") },
        ...{ name: String(span["name"]), kind: Number(span["kind"]) },
        fromMs: Number(BigInt(String(span["startTimeUnixNano"])) / 1000n) / 1000,
        toMs: Number(BigInt(String(span["endTimeUnixNano"])) / 1000n) / 1000,
        attributes: valuesOf(span["attributes"] as Wire[]),
        failure: (span["status"] as { message?: string } | undefined)?.message ?? "",
      })),
  );
}

export async function startCollector(): Promise<Collector> {
  const spans: HeardSpan[] = [];
  const server = createServer(async (request, response) => {
    const right = request.url === "/v1/traces" && request.headers["content-type"] === "application/json";
    if (right) spans.push(...spansIn(JSON.parse(await text(request)) as Body));
    response.writeHead(right ? 200 : 404, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
