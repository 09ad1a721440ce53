// ③ A save as a trace: what the workbench tells a collector, and what the call that it makes is a child of.

import { expect, it, vi } from "vitest";
import { startCollector } from "../drive/collector.ts";
import { app, bench, control, event, finished, open, put, ready } from "./workbench-place.ts";

it("a save is a span with its steps in it, and the pinned call that it makes is told to be its child", async () => {
  await using collector = await startCollector();
  vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url);
  try {
    await open();
    await ready();
    bench.pin("images", "embed", ["cat.jpg"], {});
    put("helpers.py", "def clean(x):\n    return x.strip()\n");
    await event(finished);
    const { savedAtMs } = await event(
      (candidate) => candidate.kind === "receipt" && candidate.receipt.ms.run !== undefined && candidate.receipt,
    );
    put("app.py", `# a comment\n${app}`);
    await event((candidate) => candidate.kind === "receipt" && candidate.receipt.nothing !== undefined && candidate);
    await bench[Symbol.asyncDispose]();
    const [save, comment] = collector.spans.filter(({ name }) => name === "save");
    expect(save).toMatchObject({ parentSpanId: "", service: "hob-workbench", attributes: { "hob.files": ["helpers.py"] } });
    expect(Math.abs(save!.fromMs - savedAtMs)).toBeLessThan(1);
    const steps = collector.spans.filter(({ parentSpanId }) => parentSpanId === save!.spanId);
    expect(steps.map(({ name }) => name)).toEqual(["watch", "describe", "ship", "load"]);
    expect(control.publishes.at(-2)?.calls ?? control.publishes.at(-1)!.calls).toMatchObject([
      { function: "embed", traceparent: `00-${save!.traceId}-${save!.spanId}-01` },
    ]);
    expect(comment!.attributes).toMatchObject({ "hob.nothing": expect.stringContaining("comment") });
  } finally {
    vi.unstubAllEnvs();
  }
});
