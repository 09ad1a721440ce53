// ⑤ Where other nodes knock: at a socket on their own machine, or on the network, with a certificate that the pool's authority has made for this node.

import { once } from "node:events";
import { rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Server } from "@grpc/grpc-js";
import { systemError } from "../../base/errors.ts";
import { serverCredentials, unixAddress } from "../../proto/transport.ts";

const handshakeMs = 5_000;
/** As many nodes may fetch from one at once, several times over. */
const mostConnections = 256;

export interface PeerListener extends Disposable {
  /** What control is told: unix:PATH or :PORT. */
  readonly address: string;
  /** Nobody is let in on the network before. PEM. */
  show(identity: { key: string; certificate: string }): void;
}

export async function listenAtSocket(server: Server, socket: string): Promise<PeerListener> {
  rmSync(socket, { force: true });
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(unixAddress(socket), serverCredentials(), (error) => (error ? reject(error) : resolve()));
    });
    await chmod(socket, 0o600);
  } catch (error) {
    server.forceShutdown();
    throw systemError(`listening on ${socket}`, error);
  }
  return {
    address: unixAddress(socket),
    show() {}, // its mode is the lock
    [Symbol.dispose]() {
      server.forceShutdown();
      rmSync(socket, { force: true });
    },
  };
}

/** At a port that the system chooses, at every address. */
export async function listenAtPort(server: Server): Promise<PeerListener> {
  const injector = server.createConnectionInjector(serverCredentials()); // its connections are through with TLS
  const listener = createServer({ ALPNProtocols: ["h2"], minVersion: "TLSv1.3", handshakeTimeout: handshakeMs });
  listener.maxConnections = mostConnections;
  const sockets = new Set<Socket>();
  listener.on("connection", (socket) => {
    sockets.add(socket.setNoDelay(true));
    socket.once("close", () => sockets.delete(socket));
  });
  listener.on("tlsClientError", (_error, socket) => socket.destroy());
  listener.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === "h2") injector.injectConnection(socket);
    else socket.destroy();
  });
  try {
    listener.listen(0);
    await once(listener, "listening");
  } catch (error) {
    server.forceShutdown();
    throw systemError("listening for other nodes", error);
  }
  const bound = listener.address();
  return {
    address: typeof bound === "object" && bound ? `:${bound.port}` : "",
    show: ({ key, certificate }) => listener.setSecureContext({ key, cert: certificate, minVersion: "TLSv1.3" }),
    [Symbol.dispose]() {
      listener.close();
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
    },
  };
}
