// ④ The gateway: an HTTP server at a socket beside control's, at a loopback address, or on the network. What is asked goes to the room that answers it.

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer, Server as SecureServer } from "node:https";
import { errnoOf, sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openFilesLimit } from "../../base/open-files.ts";
import type { GivenFiles, ServerIdentity } from "../access/identity.ts";
import type { Tokens } from "../access/tokens.ts";
import { bindSocket } from "../server.ts";
import type { Endpoints } from "./endpoints.ts";
import { answerError, type Visit, visitOf } from "./incoming.ts";
import { gatewayNames } from "./names.ts";
import type { Door } from "./permit.ts";

export interface GatewayPlace {
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Takes another port where this one is taken. */
  yields?: boolean;
  /** Others than its host by which it is reached; the first is the one that URLs say. */
  names?: string[];
  /** For an address that others reach: a certificate from elsewhere, instead of one of the pool's own authority. */
  given?: GivenFiles;
  /** How often it is seen whether that has to be renewed, or was changed: a minute. */
  lookEveryMs?: number;
  /** It serves there. */
  ready?(url: string): void;
}

export interface Gateway {
  /** At a unix socket that only this user can open. */
  listenAt(socket: string): Promise<AsyncDisposable>;
  /** `identity`: what it shows, where the address is not one of this machine's own. */
  listenOn(place: GatewayPlace, identity?: ServerIdentity): Promise<Listening>;
}

interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** For connections from now on. */
  show(current: ServerIdentity["current"]): void;
}

interface GatewayParts {
  endpoints: Endpoints;
  /** Answers what begins with /v1/, /healthz or /metrics; false where it is none of these. */
  own(visit: Visit): Promise<boolean> | boolean;
  tokens: Tokens;
  log: Log;
}

/** A quarter of the files that control may have open stays for its own. */
const mostConnections = Math.min(20_000, Math.floor(openFilesLimit() * 0.75));
/** A request's head has so long, the whole request so long, and a connection without one so long. */
const headersMs = 15_000;
const requestMs = 120_000;
const keptAliveMs = 75_000;

export function createGateway({ endpoints, own, tokens, log }: GatewayParts): Gateway {
  async function serve(request: IncomingMessage, response: ServerResponse, door: Door): Promise<void> {
    const visit = visitOf(request, response, door, tokens);
    try {
      if (await own(visit)) return;
      const [, app = "", rest = ""] = /^\/([^/]+)(\/.*)?$/.exec(visit.path) ?? [];
      await endpoints.serve(visit, app, rest || "/");
    } catch (error) {
      log.error({ path: visit.path, error: sentenceOf(error) }, "a request failed");
      answerError(visit, 500, { kind: "internal", message: "hob could not answer this; control's log says why" });
    }
  }

  function open(door: Door, identity?: ServerIdentity): Server {
    const options = { headersTimeout: headersMs, requestTimeout: requestMs, keepAliveTimeout: keptAliveMs, noDelay: true };
    const hear = (request: IncomingMessage, response: ServerResponse): void => void serve(request, response, door);
    const server = identity
      ? createSecureServer({ ...options, ...identity.current, minVersion: "TLSv1.2", handshakeTimeout: headersMs }, hear)
      : createServer(options, hear);
    server.maxConnections = mostConnections;
    return server;
  }

  const closing = (server: Server, more: () => Promise<void> = async () => {}): AsyncDisposable => ({
    async [Symbol.asyncDispose]() {
      await more();
      server.close();
      server.closeAllConnections();
    },
  });

  async function bind(server: Server, { host, port, yields }: GatewayPlace): Promise<void> {
    try {
      server.listen(port, host);
      await once(server, "listening");
    } catch (error) {
      if (!yields || errnoOf(error) !== "EADDRINUSE")
        throw systemError(`listening on ${host}:${port}`, error, "choose another with --http HOST:PORT");
      log.warn({ port }, "the gateway's port is taken by somebody else: another one for this time");
      server.listen(0, host);
      await once(server, "listening");
    }
  }

  return {
    async listenAt(socket) {
      const server = open("socket");
      await bindSocket(server, socket);
      return closing(server, () => rm(socket, { force: true }));
    },
    async listenOn(place, identity) {
      const server = open(identity ? "network" : "loopback", identity);
      await bind(server, place);
      const bound = server.address();
      const port = typeof bound === "object" && bound ? bound.port : place.port;
      const [name = place.host] = gatewayNames(place);
      const host = name.includes(":") ? `[${name}]` : name;
      const show: Listening["show"] = (current) =>
        server instanceof SecureServer && server.setSecureContext({ ...current, minVersion: "TLSv1.2" });
      return { ...closing(server), port, url: `http${identity ? "s" : ""}://${host}:${port}`, show };
    },
  };
}
