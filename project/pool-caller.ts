// ③ Calls of functions that the pool has, from a program that has no project: a session, and what became of each call.

import type { Log } from "../base/log.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { CallInfo as CallInfoMessage } from "../proto/gen/hob/v1/calls.ts";
import { Failure, type LogLine } from "../proto/gen/hob/v1/common.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import { createCallTracker, encodeArguments, isFinal, newCallId } from "./calls.ts";
import { checkSize, createLargeArguments, fetchValue } from "./large-values.ts";
import { type LinkState, openSession } from "./session.ts";

interface PoolCallerOptions {
  connect(): Promise<string>;
  client: string;
  build: string;
  log: Log;
  /** News of a call, or of one that it has made, before its outcome. */
  progress(call: CallInfo): void;
  output(lines: LogLine[]): void;
  notice(text: string): void;
  link(state: LinkState, detail: string): void;
}

export interface PoolCaller extends AsyncDisposable {
  call(app: string, name: string, given: { positional: unknown[]; keywords: Record<string, unknown> }): PoolCall;
  cancel(id: string): void;
}

interface PoolCall {
  id: string;
  /** With its result, wherever that lies. Rejects with a HobError when the result cannot be had. */
  finished: Promise<CallInfo>;
}

export function openPoolCaller(options: PoolCallerOptions): PoolCaller {
  const calls = createCallTracker();
  const waiting = new Map<string, PromiseWithResolvers<CallInfo>>();
  const large = createLargeArguments({
    content: () => session.content(),
    arrived: () => calls.release(send),
    failed: ({ id }, error) => end(id, "failed", Failure.fromPartial({ kind: "infrastructure", message: error.sentence })),
  });

  const session = openSession({
    ...options,
    unfinished: () => calls.confirmed(),
    event(event) {
      if (event.$case === "call" && event.value.call) take(event.value.call);
      else if (event.$case === "logs") options.output(event.value.lines);
      else if (event.$case === "notice") options.notice(event.value.text);
    },
    link(state, _sinceMs, detail) {
      if (state === "lost") calls.lost();
      else if (state === "live") queueMicrotask(() => calls.release(send)); // once the session knows its connection
      options.link(state, detail);
    },
  });

  function send(call: StartCall): boolean {
    const ready = session.live ? large.ready(call) : undefined;
    return ready !== undefined && session.send({ $case: "call", value: ready });
  }

  function take(call: CallInfo): void {
    large.forget(call.id);
    calls.update(call);
    options.progress(call);
    const asked = waiting.get(call.id);
    if (!asked || !isFinal(call)) return;
    waiting.delete(call.id);
    const { result } = call;
    if (!result?.large) asked.resolve(call);
    else
      fetchValue(session.content(), result).then(
        (json) => asked.resolve({ ...call, result: { json, large: undefined } }),
        asked.reject,
      );
  }

  /** The end of a call that control never had. */
  function end(id: string, state: "failed" | "cancelled", failure: Failure): void {
    const unsent = calls.withdraw(id);
    if (!unsent) return;
    large.forget(id);
    take(CallInfoMessage.fromPartial({ ...unsent, state, failure, finishedAtMs: Date.now() }));
  }

  return {
    call(app, name, { positional, keywords }) {
      const given = encodeArguments(positional, keywords);
      checkSize(name, given);
      const call = { id: newCallId(), app, function: name, version: "", arguments: given, parent: "", origin: "cli" };
      const finished = Promise.withResolvers<CallInfo>();
      waiting.set(call.id, finished);
      calls.start(call, send);
      return { id: call.id, finished: finished.promise };
    },
    cancel(id) {
      end(id, "cancelled", Failure.fromPartial({ kind: "cancelled", message: "cancelled before it was sent" }));
      if (waiting.has(id)) session.send({ $case: "cancel", value: { call: id } });
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
