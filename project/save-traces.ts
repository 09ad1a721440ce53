// ③ Saves as spans: each begins when the file was written, has its steps on this side in it, and the calls that it makes are its children.

import type { OpenSpan, Tracing } from "../base/tracing.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import type { Receipt } from "./events.ts";

export interface SaveTraces {
  /** What has become of a save by now. */
  step(receipt: Receipt): void;
  /** That call is made for the save of that receipt; the save lasts until its result. */
  carry(call: StartCall, receipt: number): StartCall;
}

const mostOpen = 256; // one whose result never comes is left out of its trace

interface Open {
  span: OpenSpan;
  carries: boolean;
}

export function createSaveTraces(tracing: Pick<Tracing, "start">): SaveTraces {
  const open = new Map<number, Open>();

  function begin({ id, files, savedAtMs }: Receipt): Open {
    const attributes = { "hob.files": [...files] };
    const entry = { span: tracing.start("save", { fromMs: savedAtMs, parent: "", attributes }), carries: false };
    open.set(id, entry);
    if (open.size > mostOpen) open.delete(open.keys().next().value!);
    return entry;
  }

  function end({ span }: Open, { ms, savedAtMs, failure, snapshot, bytesShipped, nothing }: Receipt): void {
    let fromMs = savedAtMs;
    for (const name of ["watch", "describe", "ship", "load"] as const) {
      const took = ms[name];
      if (took === undefined) continue;
      span.child({ name, fromMs, toMs: fromMs + took });
      fromMs += took;
    }
    const attributes = {
      "hob.snapshot": snapshot,
      "hob.bytes_shipped": bytesShipped,
      ...(nothing ? { "hob.nothing": nothing } : {}),
    };
    span.end({ toMs: savedAtMs + (ms.total ?? 0), attributes, failure: failure?.message });
  }

  return {
    step(receipt) {
      const known = open.get(receipt.id) ?? (receipt.state === "described" ? begin(receipt) : undefined);
      if (!known) return;
      const { state, nothing, ms } = receipt;
      const there = state === "loaded" && (!known.carries || ms.run !== undefined);
      if (nothing === undefined && state !== "failed" && !there) return;
      open.delete(receipt.id);
      end(known, receipt);
    },
    carry(call, receipt) {
      const known = open.get(receipt);
      if (!known) return call;
      known.carries = true;
      return { ...call, traceparent: known.span.traceparent };
    },
  };
}
