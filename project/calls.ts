// ③⑦ The calls that this client has made and whose outcome it does not know yet, over however many connections that takes.

import { randomBytes } from "node:crypto";
import { type CallInfo, CallInfo as CallInfoMessage } from "../proto/gen/hob/v1/calls.ts";
import type { Arguments, Failure } from "../proto/gen/hob/v1/common.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";

export interface CallTracker {
  /** Takes a call on; `send` is asked at once, and again by `release`, until it takes it. */
  start(call: StartCall, send: (call: StartCall) => boolean): void;
  /** A call that travels inside a publish. */
  carried(call: StartCall, save: { savedAtMs: number; receipt: number }): void;
  /** News of a call: which save it belongs to, when it was one of ours. */
  update(call: CallInfo): { savedAtMs: number; receipt: number } | undefined;
  /** Sends what waits and may be sent. */
  release(send: (call: StartCall) => boolean): void;
  /** Calls that control has confirmed and not finished: a new session asks for these. */
  confirmed(): string[];
  /** The code of an app did not reach control: forgets and gives the calls that wait for it, and those that its publish carried. */
  giveUp(app: string, receipt: number): StartCall[];
  /** Forgets a call that has not been sent, and gives it; undefined when control has it. */
  withdraw(id: string): StartCall | undefined;
  /** The connection is lost: what has not been confirmed is sent again. */
  lost(): void;
}

interface Tracked {
  call: StartCall;
  state: "waiting" | "sent" | "confirmed";
  save: { savedAtMs: number; receipt: number } | undefined;
}

const finalStates = new Set(["succeeded", "failed", "cancelled"]);
export const isFinal = (call: CallInfo): boolean => finalStates.has(call.state);

export function createCallTracker(): CallTracker {
  const calls = new Map<string, Tracked>();

  return {
    start(call, send) {
      calls.set(call.id, { call, state: send(call) ? "sent" : "waiting", save: undefined });
    },
    carried(call, save) {
      calls.set(call.id, { call, state: "sent", save });
    },
    update(info) {
      const known = calls.get(info.id);
      if (!known) return undefined;
      known.state = "confirmed";
      if (isFinal(info)) calls.delete(info.id);
      return known.save;
    },
    release(send) {
      for (const known of calls.values()) if (known.state === "waiting" && send(known.call)) known.state = "sent";
    },
    giveUp(app, receipt) {
      const lost = [...calls.values()].filter(
        ({ call, state, save }) => call.app === app && (state === "waiting" || (state === "sent" && save?.receipt === receipt)),
      );
      for (const { call } of lost) calls.delete(call.id);
      return lost.map(({ call }) => call);
    },
    withdraw(id) {
      const known = calls.get(id);
      if (known?.state !== "waiting") return undefined;
      calls.delete(id);
      return known.call;
    },
    confirmed: () => [...calls].filter(([, { state }]) => state === "confirmed").map(([id]) => id),
    lost() {
      for (const known of calls.values()) {
        if (known.state !== "sent") continue;
        known.state = "waiting";
        known.call = { ...known.call, version: "" }; // the version that it was to run may never have arrived
      }
    },
  };
}

/** 16 lower-case hex digits. */
const idBytes = 8;
let entropy = Buffer.alloc(0);

/** The system is asked for many at once: one alone takes a tenth of a millisecond on the way of a save. */
export function newCallId(): string {
  if (entropy.length < idBytes) entropy = randomBytes(idBytes * 128);
  const id = entropy.toString("hex", 0, idBytes);
  entropy = entropy.subarray(idBytes);
  return id;
}

export function encodeArguments(positional: readonly unknown[], keywords: Readonly<Record<string, unknown>>): Arguments {
  const named = Object.keys(keywords).length > 0 ? Buffer.from(JSON.stringify(keywords)) : Buffer.alloc(0);
  return { positional: Buffer.from(JSON.stringify(positional)), keywords: named, large: undefined };
}

/** What is told of a call that control never had. */
export function endedHere(
  call: StartCall,
  { state, failure, nowMs }: { state: string; failure: Failure; nowMs: number },
): CallInfo {
  const { id, app, function: name, version, arguments: given, origin } = call;
  const times = { queuedAtMs: nowMs, startedAtMs: 0, finishedAtMs: nowMs };
  return CallInfoMessage.fromPartial({ id, app, function: name, version, arguments: given, origin, state, failure, ...times });
}
