// ⑤ The node's FUSE daemon, with the mounts that all containers share. Whoever sweeps after us finds in the run folder which process it is.

import { join } from "node:path";
import type { Log } from "../base/log.ts";
import { startFuseServer } from "../fusefs/connect.ts";
import type { FuseServer, FuseServerOptions } from "../fusefs/server.ts";
import { identify } from "./container/process.ts";
import { type AgentPaths, writeOwner } from "./run-folder.ts";

export interface FuseDaemonHost extends Pick<FuseServerOptions, "store" | "fetch"> {
  /** Its log's folder. */
  logs: string;
  run: string;
  key: string;
  paths: AgentPaths;
  log: Log;
}

type Turn = Parameters<NonNullable<FuseServerOptions["turn"]>>[0];

function logTurn(log: Log, { kind, reason }: Turn): void {
  if (kind === "died") log.error({ reason }, "the FUSE daemon died; another takes over");
  else if (kind === "obstacle") log.warn({ reason }, "a death of the FUSE daemon would be the end of all containers");
  else if (kind === "kept") log.error({ reason }, "the FUSE daemon was not replaced, and goes on: fuse.log may say more");
  else log.info("the FUSE daemon that is installed now has taken over");
}

export async function startFuseDaemon({ store, fetch, logs, run, key, paths, log }: FuseDaemonHost): Promise<FuseServer> {
  const own = (pid: number): void => {
    const [agent, daemon] = [identify(process.pid), identify(pid)];
    if (agent && daemon) writeOwner(run, { key, agent, fuse: daemon });
  };
  const server = await startFuseServer({
    ...{ store, fetch, logFile: join(logs, "fuse.log"), run: paths.fuse, replaced: own },
    turn: (turn) => logTurn(log, turn),
  });
  own(server.pid);
  if (!server.idmap)
    log.warn("images cannot be shown in a container's uid range here (Linux 6.12): their files belong to nobody in it");
  await server.mountSnapshots(paths.snapshots);
  if (server.view.kind === "tiered") await server.mountBlobs(paths.blobs);
  return server;
}
