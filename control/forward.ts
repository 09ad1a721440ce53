// ④ The doors of a control that stands by: who comes is led to the control that serves, byte by byte, so TLS and tokens are between those two.

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { parseHostPort } from "../proto/address.ts";
import type { PoolOwner } from "../proto/gen/hob/v1/journal.ts";
import type { ReplicaOptions } from "./replica.ts";
import { bindSocket } from "./server.ts";

export interface Doors extends AsyncDisposable {
  /** Once is enough. */
  open(): Promise<void>;
}

interface DoorParts {
  /** This one: a socket of another leads nowhere. */
  machine: string;
  owner(): PoolOwner | undefined;
  log: Log;
}

type Way = (owner: PoolOwner) => NetConnectOpts | undefined;

const byNetwork = (address: string): NetConnectOpts | undefined => (address === "" ? undefined : parseHostPort(address));

export function openDoors(
  { socket, network, http }: Pick<ReplicaOptions, "socket" | "network" | "http">,
  parts: DoorParts,
): Doors {
  const { owner, machine, log } = parts;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  let opened = false;

  function lead(from: Socket, way: Way): void {
    const found = owner();
    const target = found && way(found);
    if (!target) return void from.destroy(); // nobody serves, or none that can be reached from here: it is tried again
    const to = connect(target);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on("error", () => other.destroy());
      one.once("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }

  async function listen(bind: (server: Server) => unknown, way: Way): Promise<void> {
    const server = createServer((connection) => lead(connection, way));
    servers.push(server);
    try {
      await bind(server);
    } catch (error) {
      log.warn({ error: sentenceOf(error) }, "a door of this control stays closed while it stands by");
    }
  }

  const atPort = (place: { host: string; port: number }) => async (server: Server) => {
    server.listen(place.port, place.host);
    await once(server, "listening");
  };

  return {
    async open() {
      if (opened) return;
      opened = true;
      await listen(
        (server) => bindSocket(server, socket),
        (found) => (found.machine === machine ? { path: found.socket } : undefined),
      );
      if (network && network.port > 0) await listen(atPort(network), (found) => byNetwork(found.network));
      if (http && http !== "own" && http.port > 0) await listen(atPort(http), (found) => byNetwork(found.http));
    },
    async [Symbol.asyncDispose]() {
      if (opened) await rm(socket, { force: true });
      for (const server of servers) server.close();
      for (const each of sockets) each.destroy();
    },
  };
}
