// ④ Control's gRPC server on the network: TLS only, and behind it the gate, which asks for a token.

import { once } from "node:events";
import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type NetworkAddress, networkAddress } from "../../proto/address.ts";
import { networkOptions, serverCredentials } from "../../proto/transport.ts";
import type { Gate } from "./gate.ts";
import type { ServerIdentity } from "./identity.ts";

const handshakeMs = 5_000;
/** Of all machines and clients, each of which has a few. */
const mostConnections = 4_096;
const loggedEveryMs = 1_000;

interface NetworkParts {
  at: Pick<NetworkAddress, "host" | "port">;
  services: [ServiceDefinition, UntypedServiceImplementation][];
  identity: ServerIdentity;
  gate: Gate;
  log: Log;
}

export interface NetworkServer extends AsyncDisposable {
  /** That it listens at: the system's choice where 0 was asked for. */
  readonly port: number;
  /** For connections from now on. */
  show(current: ServerIdentity["current"]): void;
  /** Bytes that have come on the connection from that peer, NaN where there is none. */
  receivedFrom(peer: string): number;
}

export async function listenOnNetwork({ at, services, identity, gate, log }: NetworkParts): Promise<NetworkServer> {
  const server = new Server({ ...networkOptions, interceptors: [gate.interceptor] });
  for (const [definition, implementation] of services) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(serverCredentials()); // its connections are through with TLS
  const listener = createServer({
    ...identity.current,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    handshakeTimeout: handshakeMs,
  });
  listener.maxConnections = mostConnections;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let unlogged = 0;
  const refused = (peer: string | undefined, why: string): void => {
    if (performance.now() - loggedAtMs < loggedEveryMs) return void unlogged++;
    log.warn({ peer, why, ...(unlogged > 0 ? { unlogged } : {}) }, "a connection was refused");
    loggedAtMs = performance.now();
    unlogged = 0;
  };
  const sockets = new Map<string, Socket>(); // by peer; also those that are not through with TLS
  listener.on("connection", (socket) => {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    sockets.set(peer, socket.setNoDelay(true));
    socket.once("close", () => void (sockets.get(peer) === socket && sockets.delete(peer)));
  });
  listener.on("drop", (dropped) => refused(dropped?.remoteAddress, `there are ${mostConnections} connections`));
  listener.on("tlsClientError", (error, socket) => refused(socket.remoteAddress, `no TLS: ${error.message}`));
  listener.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === "h2") return injector.injectConnection(socket);
    refused(socket.remoteAddress, "it does not speak HTTP/2");
    socket.destroy();
  });
  try {
    listener.listen(at.port, at.host);
    await once(listener, "listening");
  } catch (error) {
    throw systemError(`listening on ${networkAddress(at)}`, error, "choose another with --listen HOST:PORT");
  }
  const bound = listener.address();
  return {
    port: typeof bound === "object" && bound ? bound.port : at.port,
    show: (current) => listener.setSecureContext({ ...current, minVersion: "TLSv1.3" }),
    receivedFrom: (peer) => sockets.get(peer)?.bytesRead ?? Number.NaN,
    async [Symbol.asyncDispose]() {
      listener.close();
      server.forceShutdown();
      for (const socket of sockets.values()) socket.destroy();
    },
  };
}
