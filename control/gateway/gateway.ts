// ④ The gateway's parts, put together: endpoints, figures, and where it listens.

import { createHash } from "node:crypto";
import { systemClock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";
import { openServerIdentity } from "../access/identity.ts";
import type { Tokens } from "../access/tokens.ts";
import type { Calls } from "../calls.ts";
import type { MapStore, Records } from "../engine/engine.ts";
import type { Maps } from "../maps/maps.ts";
import type { Nodes } from "../nodes.ts";
import type { Turn } from "../turn.ts";
import { challenge, createEndpoints, type EndpointsParts } from "./endpoints.ts";
import { answerError, answerJson, type Visit } from "./incoming.ts";
import { createMetrics } from "./metrics.ts";
import { gatewayNames } from "./names.ts";
import { metricsRefusal } from "./permit.ts";
import { createRest } from "./rest.ts";
import { createGateway, type GatewayPlace } from "./server.ts";
import { createWaiting } from "./waiting.ts";

/** Where control's embedded gateway looks for a port of its own: below what systems give to whoever asks for any. */
const firstPort = 17_000;
const ports = 10_000;

const standardLookEveryMs = 60_000; // whether the certificate has to be renewed

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

export interface Front {
  /** Where endpoints are found by HTTP; "" where it listens at no address. */
  readonly url: string;
  /** A call has ended. */
  ended(info: CallInfo): void;
  /** What is told of a call or a map: those who wait for its end over HTTP hear of that. */
  told(info: CallInfo | MapInfo): void;
  open(place: { socket: string; http?: GatewayPlace | "own" | undefined }): Promise<AsyncDisposable>;
}

interface FrontParts extends Omit<EndpointsParts, "answered"> {
  calls: Calls;
  maps: Maps;
  mapStore: MapStore;
  nodes: Nodes;
  turn: Turn;
  tokens: Tokens;
  records: Records;
  /** Folder of control's state: a pool that has never had a port takes one by its name. */
  state: string;
  log: Log;
}

/** control.sock → control.http */
export const httpSocketOf = (socket: string): string => `${socket.replace(/\.sock$/, "")}.http`;

export function createFront(parts: FrontParts): Front {
  const metrics = createMetrics(parts);
  const endpoints = createEndpoints({
    ...parts,
    answered: ({ status, ...what }) => metrics.count({ ...what, kind: "request", outcome: String(status) }),
  });
  const waiting = createWaiting();
  const rest = createRest({ ...parts, waiting });
  let url = "";

  async function own(visit: Visit): Promise<boolean> {
    const { path, response, visitor } = visit;
    if (path.startsWith("/v1/")) {
      await rest.serve(visit);
      return true;
    }
    if (path === "/healthz") {
      const trouble = metrics.trouble();
      answerJson(visit, trouble ? 503 : 200, trouble ? { ok: false, trouble } : { ok: true });
      return true;
    }
    if (path !== "/metrics") return false;
    const refusal = metricsRefusal(visitor);
    if (refusal) answerError(visit, refusal.status, { kind: "denied", message: refusal.message }, challenge(refusal.status));
    else response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(metrics.text());
    return true;
  }

  /** The same each time, so that an address stays good over restarts. */
  function ownPlace(): GatewayPlace {
    const known = parts.records.get("gateway", "port");
    const chosen = firstPort + (createHash("sha256").update(parts.state).digest().readUInt32BE(0) % ports);
    return { host: "127.0.0.1", port: known ? Number(Buffer.from(known.value).toString()) : chosen, yields: true };
  }

  return {
    get url() {
      return url;
    },
    told: (info) => info.finishedAtMs > 0 && waiting.ended(info),
    ended({ app, function: name, state, finishedAtMs, queuedAtMs }) {
      metrics.count({ kind: "call", app, function: name, outcome: state, ms: Math.max(0, finishedAtMs - queuedAtMs) });
    },
    async open({ socket, http }) {
      await using stack = new AsyncDisposableStack();
      const gateway = createGateway({ endpoints, own, tokens: parts.tokens, log: parts.log });
      stack.use(await gateway.listenAt(httpSocketOf(socket)));
      if (http) {
        const place = http === "own" ? ownPlace() : http;
        const { given, host, lookEveryMs = standardLookEveryMs } = place;
        const renewed: Parameters<typeof openServerIdentity>[0]["renewed"] = (current) => listening.show(current);
        const parted = {
          state: parts.state,
          given,
          file: "gateway",
          names: gatewayNames(place),
          now: systemClock.now,
          renewed,
          log: parts.log,
          lookEveryMs,
        };
        const identity = isLoopback(host) ? undefined : stack.use(await openServerIdentity(parted));
        const listening = stack.use(await gateway.listenOn(place, identity));
        url = listening.url;
        if (http === "own" && !parts.records.get("gateway", "port"))
          parts.records.put("gateway", "port", Buffer.from(String(listening.port)), 0);
        parts.turn.wake();
        parts.log.info({ url }, "the gateway listens");
        place.ready?.(url);
      }
      return stack.move();
    },
  };
}
