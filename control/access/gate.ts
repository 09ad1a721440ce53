// ④ Every call that comes by the network passes here: whose token it shows, whether that may call this, and what became of it.

import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import type { Log } from "../../base/log.ts";
import type { TokenInfo } from "../../proto/gen/hob/v1/members.ts";
import { rights } from "./rights.ts";
import type { Tokens } from "./tokens.ts";

const sweepEveryMs = 1_000;
/** Of one sender's refusals, so many a minute are logged, and the others counted. */
const loggedAMinute = 60;

/** What the gate says of a caller to those behind it, in the call's metadata; whatever the caller says there itself is removed. */
const callerKey = "hob-caller-bin";

export interface Gate extends Disposable {
  readonly interceptor: ServerInterceptor;
}

export interface Caller {
  scope: string;
  node: string;
  token: string;
}

/** Whose call it is; undefined for one that came by control's own socket. */
export function callerOf(metadata: Metadata): Caller | undefined {
  const [said] = metadata.get(callerKey);
  return said === undefined ? undefined : (JSON.parse(said.toString()) as Caller);
}

interface Open {
  info: TokenInfo;
  end(code: status, details: string): void;
}

export function createGate(tokens: Tokens, now: () => number, log: Log): Gate {
  const open = new Set<Open>();
  const refused = new Map<string, number>();

  function note(peer: string, path: string, why: string): void {
    const host = peer.replace(/:\d+$/, "");
    const count = (refused.get(host) ?? 0) + 1;
    refused.set(host, count);
    if (count <= loggedAMinute) log.warn({ peer, path, why }, "refused");
  }

  /** Streams last: one whose token was revoked or has ended is ended within a second. */
  function sweep(): void {
    if (open.size === 0) return;
    const alive = new Set(tokens.list().map(({ id }) => id));
    for (const each of open) {
      const { id, expiresAtMs } = each.info;
      if (expiresAtMs > 0 && expiresAtMs <= now()) each.end(status.UNAUTHENTICATED, `token ${id} has ended: ask for another`);
      else if (!alive.has(id)) each.end(status.UNAUTHENTICATED, `token ${id} was revoked`);
    }
  }

  function judge(metadata: Metadata, path: string): TokenInfo | { code: status; why: string } {
    const [said] = metadata.get("authorization");
    const token = /^Bearer (\S+)$/.exec(typeof said === "string" ? said : "")?.[1];
    if (token === undefined) return { code: status.UNAUTHENTICATED, why: "no token was shown: log in with `hob login URL`" };
    const info = tokens.check(token);
    if (typeof info === "string") return { code: status.UNAUTHENTICATED, why: `${info}: ask for another` };
    const right = (rights as Record<string, (typeof rights)[keyof typeof rights] | undefined>)[path];
    if (right?.scopes.some((scope) => scope === info.scope)) return info;
    const who = right?.scopes.length ? `a token of scope ${right.scopes.join(" or ")}` : "control's own socket, on its machine";
    return { code: status.PERMISSION_DENIED, why: `token ${info.id} has the scope ${info.scope}: ${path} takes ${who}` };
  }

  function interceptor(method: { path: string }, call: ServerInterceptingCallInterface): ServerInterceptingCall {
    const { path } = method;
    const peer = call.getPeer();
    let entry: Open | undefined;
    const leave = (): void => void (entry && open.delete(entry));
    // Messages that are too large, or none, gRPC refuses by itself, past all responders.
    const sendStatus = call.sendStatus.bind(call);
    call.sendStatus = (said) => {
      leave();
      if (said.code === status.RESOURCE_EXHAUSTED || said.code === status.INTERNAL) note(peer, path, said.details ?? "");
      sendStatus(said);
    };
    const refuse = (code: status, why: string): void => {
      leave();
      note(peer, path, why);
      sendStatus({ code, details: why });
    };
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            metadata.remove(callerKey);
            const info = judge(metadata, path);
            if ("why" in info) return refuse(info.code, info.why);
            entry = { info, end: refuse };
            open.add(entry);
            const caller: Caller = { scope: info.scope, node: info.node, token: info.id };
            metadata.remove("authorization");
            metadata.set(callerKey, Buffer.from(JSON.stringify(caller)));
            if (info.node) metadata.set("node", info.node);
            pass(metadata);
          },
          onReceiveMessage(message, pass) {
            const why = entry && rights[path as keyof typeof rights].refuses?.(message, entry.info);
            if (why === undefined) pass(message);
            else refuse(status.PERMISSION_DENIED, why);
          },
          onCancel: leave,
        });
      },
    });
  }

  const timers = [setInterval(sweep, sweepEveryMs), setInterval(() => refused.clear(), 60_000)];
  return {
    interceptor,
    [Symbol.dispose]: () => timers.forEach(clearInterval),
  };
}
