// Spans for a collector of OpenTelemetry, where the environment names one; without that nothing of it is loaded.

import type { Attributes, Span } from "@opentelemetry/api";
import type { Sampler, SpanExporter } from "@opentelemetry/sdk-trace";
import { sentenceOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** A stretch of time on the way of a save or a request. Times are Unix ms. */
export interface OpenSpan {
  /** Of W3C Trace Context: what makes another process' spans children of this one. */
  readonly traceparent: string;
  /** One that has ended already. */
  child(span: Stretch): void;
  end(how: Omit<Stretch, "name" | "fromMs">): void;
}

export interface Stretch {
  name: string;
  fromMs: number;
  toMs: number;
  attributes?: Attributes;
  /** Why it failed, where it did. */
  failure?: string | undefined;
}

export interface Tracing extends AsyncDisposable {
  /** `parent`: a traceparent; "" for the beginning of a trace. `server`: it answers somebody else's request. */
  start(name: string, begin: { fromMs: number; parent: string; server?: boolean; attributes?: Attributes }): OpenSpan;
}

type Environment = Record<string, string | undefined>;

const partingMs = 1_000; // what waits to be sent has so long when its process ends
const traceparentShape = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/; // W3C Trace Context, 3.2.2

/** Which traces are recorded, as OTEL_TRACES_SAMPLER says it; the standard is all that no parent has left out. */
function samplerOf(sdk: typeof import("@opentelemetry/sdk-trace"), environment: Environment): Sampler {
  const share = Number(environment["OTEL_TRACES_SAMPLER_ARG"] ?? 1);
  const [, parents, own = "always_on"] = /^(parentbased_)?(.*)$/.exec(
    environment["OTEL_TRACES_SAMPLER"] || "parentbased_always_on",
  )!;
  const roots: Record<string, () => Sampler> = {
    always_off: () => new sdk.AlwaysOffSampler(),
    traceidratio: () => new sdk.TraceIdRatioBasedSampler(share),
  };
  const root = (roots[own] ?? (() => new sdk.AlwaysOnSampler()))();
  return parents ? new sdk.ParentBasedSampler({ root }) : root;
}

/** As the exporter reads it. */
const collectorOf = (environment: Environment): string | undefined =>
  environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] || environment["OTEL_EXPORTER_OTLP_ENDPOINT"];

/** Undefined where no collector is named, or none that could be one: that is logged. `service` is what spans are said to be of. */
export async function openTracing(
  service: string,
  log: Log,
  environment: Environment = process.env,
): Promise<Tracing | undefined> {
  const collector = collectorOf(environment);
  const off = environment["OTEL_SDK_DISABLED"] === "true" || environment["OTEL_TRACES_EXPORTER"] === "none";
  if (!collector || off) return undefined;
  if (!URL.canParse(collector) || !/^https?:$/.test(new URL(collector).protocol)) {
    log.error({ collector }, "no traces: OTEL_EXPORTER_OTLP_ENDPOINT is no address; write for example http://127.0.0.1:4318");
    return undefined;
  }
  const [api, sdk, resources, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  const exporter = new OTLPTraceExporter();
  let trouble = false;
  const telling: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined;
        if (failed && !trouble) log.warn({ collector, error: sentenceOf(result.error) }, "traces cannot be delivered");
        if (!failed && trouble) log.info({ collector }, "traces are delivered again");
        trouble = failed;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
  const named = resources.resourceFromAttributes({ "service.name": service });
  const resource = named.merge(resources.detectResources({ detectors: [resources.envDetector] }));
  const provider = new sdk.TracerProvider({
    resource,
    sampler: samplerOf(sdk, environment),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: telling })],
  });
  const tracer = provider.getTracer("hob");

  function parentOf(traceparent: string): ReturnType<typeof api.trace.setSpan> {
    const [, traceId, spanId, flags] = traceparentShape.exec(traceparent) ?? [];
    if (!traceId || !spanId || !flags) return api.ROOT_CONTEXT;
    const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & api.TraceFlags.SAMPLED, isRemote: true };
    return api.trace.setSpanContext(api.ROOT_CONTEXT, context);
  }

  function finish(span: Span, { toMs, attributes, failure }: Omit<Stretch, "name" | "fromMs">): void {
    if (attributes) span.setAttributes(attributes);
    if (failure !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure });
    span.end(toMs);
  }

  return {
    start(name, { fromMs, parent, server = false, attributes = {} }) {
      const kind = server ? api.SpanKind.SERVER : api.SpanKind.INTERNAL;
      const span = tracer.startSpan(name, { kind, startTime: fromMs, attributes }, parentOf(parent));
      const inside = api.trace.setSpan(api.ROOT_CONTEXT, span);
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
        child: ({ name: part, fromMs: startTime, ...rest }) => finish(tracer.startSpan(part, { startTime }, inside), rest),
        end: (how) => finish(span, how),
      };
    },
    async [Symbol.asyncDispose]() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, partingMs).unref());
      await Promise.race([provider.shutdown().catch(() => {}), late]);
    },
  };
}
