// ③ Which control a command speaks to: the one named with --control, else this installation's own.

import { resolve } from "node:path";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths } from "../base/paths.ts";
import { unixAddress } from "../proto/transport.ts";
import { answers, connectEmbedded } from "./embedded.ts";
import { requireMachine } from "./prerequisites.ts";

/** The socket's absolute path, from `unix:PATH` or a path. */
export function socketPath(address: string): string {
  const path = address.startsWith("unix:") ? address.slice("unix:".length) : address;
  const looksLikePath = address.startsWith("unix:") ? path !== "" : path.includes("/");
  if (looksLikePath) return resolve(path);
  throw new HobError("usage", `"${address}" is not the address of a control`, {
    remedy: "write unix:PATH, the path of its socket",
  });
}

/** For commands that need a pool: an embedded one is started when none was named. */
export function connectTo(control: string | undefined, lingerMs: number): () => Promise<string> {
  return control === undefined ? connectEmbedded({ lingerMs }) : () => runningControl(control);
}

/** Refuses at once what can never work: a named control that does not answer, a machine on which no pool can start. */
export async function requireReachable(control: string | undefined): Promise<void> {
  if (control !== undefined) await runningControl(control);
  else if (!(await answers(poolPaths(installRoot).socket))) requireMachine();
}

/** For commands that only look: a pool that runs, or an error that says how to get one. */
export async function runningControl(control: string | undefined): Promise<string> {
  const socket = control === undefined ? poolPaths(installRoot).socket : socketPath(control);
  if (await answers(socket)) return unixAddress(socket);
  if (control !== undefined) {
    throw new HobError("unavailable", `no control answers at ${socket}`, {
      remedy: `start it with \`hob control --listen unix:${socket}\``,
    });
  }
  throw new HobError("unavailable", "no pool is running", {
    remedy: "`hob dev` starts one, or name one with --control unix:PATH",
  });
}
