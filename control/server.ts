// ④ Control's gRPC server on a unix socket that only this user can open.

import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { channelOptions, serverCredentials, unixAddress } from "../proto/transport.ts";

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

async function bind(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(unixAddress(path), serverCredentials(), (error) => (error ? reject(error) : resolve()));
  });
}

/** Serves `services` at `socket`. A socket file that nobody listens on is replaced. */
export async function listen(
  socket: string,
  services: [ServiceDefinition, UntypedServiceImplementation][],
): Promise<AsyncDisposable> {
  const folder = dirname(socket);
  // Bound in a folder of its own and moved into place once its mode is right: it is never open to others, and appears whole.
  const birth = join(folder, `.${basename(socket)}.${process.pid}`);
  const born = join(birth, "s");
  if (Buffer.byteLength(born) > longestPath || Buffer.byteLength(socket) > longestPath) {
    throw new HobError("usage", `listening on ${socket}: the path is too long for a unix socket`, {
      remedy: "set HOB_RUN_DIR to a shorter folder",
    });
  }
  const server = new Server(channelOptions);
  for (const [definition, implementation] of services) server.addService(definition, implementation);
  try {
    await mkdir(folder, { recursive: true, mode: 0o711 });
    await chmod(folder, 0o711);
    if (await somebodyListens(socket)) {
      throw new HobError("precondition", `listening on ${socket}: another control answers there`, {
        remedy: "use that one, end it, or choose another socket",
      });
    }
    await rm(birth, { recursive: true, force: true });
    await mkdir(birth, { mode: 0o700 });
    await bind(server, born);
    await chmod(born, 0o600);
    await rename(born, socket);
    await rm(birth, { recursive: true });
  } catch (error) {
    server.forceShutdown();
    throw systemError(`listening on ${socket}`, error);
  }
  return {
    async [Symbol.asyncDispose]() {
      await rm(socket, { force: true }); // first: nobody connects to a server that ends
      server.forceShutdown();
    },
  };
}
