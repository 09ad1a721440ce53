// ④ Control's server on a unix socket that only this user can open: gRPC, and direct streams (proto/direct.ts).

import { once } from "node:events";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Routes, takeConnection } from "../proto/direct-server.ts";
import { channelOptions, serverCredentials } from "../proto/transport.ts";
import { widenSendBuffer } from "./send-buffer.ts";

const longestPath = 107; // bytes: sockaddr_un.sun_path, unix(7)

async function somebodyListens(socket: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => {
      const code = errnoOf(error);
      if (code === "ECONNREFUSED" || code === "ENOENT") resolve(false);
      else reject(systemError(`looking whether somebody listens on ${socket}`, error));
    });
  });
}

/** HobError `precondition` where somebody listens. */
export async function refuseTaken(socket: string): Promise<void> {
  if (!(await somebodyListens(socket))) return;
  throw new HobError("precondition", `listening on ${socket}: another control answers there`, {
    remedy: "use that one, end it, or choose another socket",
  });
}

/** Makes the socket file. Bound in a folder of its own and moved into place once its mode is right, it appears whole and is never open to others. */
export async function bindSocket(listener: NetServer, socket: string): Promise<void> {
  const folder = dirname(socket);
  const birth = join(folder, `.${basename(socket)}.${process.pid}`);
  const born = join(birth, "s");
  if (Buffer.byteLength(born) > longestPath || Buffer.byteLength(socket) > longestPath) {
    throw new HobError("usage", `listening on ${socket}: the path is too long for a unix socket`, {
      remedy: "set HOB_RUN_DIR to a shorter folder",
    });
  }
  await mkdir(folder, { recursive: true, mode: 0o711 });
  await chmod(folder, 0o711);
  await refuseTaken(socket);
  await rm(birth, { recursive: true, force: true });
  await mkdir(birth, { mode: 0o700 });
  listener.listen(born);
  await once(listener, "listening");
  await chmod(born, 0o600);
  await rename(born, socket);
  await rm(birth, { recursive: true });
}

/** Serves `services` at `socket`, and the streams `direct`, until it is disposed of. A socket file that nobody listens on is replaced. */
export async function listen(
  socket: string,
  services: [ServiceDefinition, UntypedServiceImplementation][],
  direct: Routes,
  log: Log,
): Promise<AsyncDisposable> {
  const server = new Server(channelOptions);
  for (const [definition, implementation] of services) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(serverCredentials());
  const connections = new Set<Socket>();
  const listener = createServer((connection) => {
    widenSendBuffer(connection, log);
    connections.add(connection);
    connection.once("close", () => connections.delete(connection));
    takeConnection(connection, direct, () => injector.injectConnection(connection));
  });
  try {
    await bindSocket(listener, socket);
  } catch (error) {
    listener.close();
    throw systemError(`listening on ${socket}`, error);
  }
  return {
    async [Symbol.asyncDispose]() {
      await rm(socket, { force: true }); // first: nobody connects to a server that ends
      listener.close();
      server.forceShutdown();
      for (const connection of connections) connection.destroy();
    },
  };
}
