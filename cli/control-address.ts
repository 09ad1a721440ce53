// ③ Which control a command speaks to: the one named with --control or HOB_CONTROL, else this installation's own.

import { resolve } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths } from "../base/paths.ts";
import { isNetwork, parseNetworkUrl, placesOf, unixAddress } from "../proto/address.ts";
import { answers, connectEmbedded } from "./embedded.ts";
import { requireMachine } from "./prerequisites.ts";

/** A pool with several controls is served by another of them some seconds after one is gone. */
const takeoverMs = 20_000;
const againMs = 500;

/** As a flag, or else in the environment. */
const namedControl = (flag: string | undefined): string | undefined => flag ?? (process.env["HOB_CONTROL"] || undefined);

/** The socket's absolute path, from `unix:PATH` or a path. */
export function socketPath(address: string): string {
  const path = address.startsWith("unix:") ? address.slice("unix:".length) : address;
  const looksLikePath = address.startsWith("unix:") ? path !== "" : path.includes("/");
  if (looksLikePath) return resolve(path);
  throw new HobError("usage", `"${address}" is not the address of a control`, {
    remedy: "write unix:PATH, the path of its socket, or hob://HOST:PORT",
  });
}

/** For commands that need a pool: an embedded one is started when none was named. */
export function connectTo(control: string | undefined, lingerMs: number): () => Promise<string> {
  if (namedControl(control) === undefined) return connectEmbedded({ lingerMs });
  let patient = true; // whoever has been connected dials again with a patience of their own
  return async () => {
    const address = await runningControl(control, patient);
    patient = false;
    return address;
  };
}

/** Refuses at once what can never work: a named control that does not answer, a machine on which no pool can start. */
export async function requireReachable(control: string | undefined): Promise<void> {
  if (namedControl(control) !== undefined) await runningControl(control);
  else if (!(await answers(poolPaths(installRoot).socket))) requireMachine();
}

/** For commands that only look: a pool that runs, or an error that says how to get one. */
export async function runningControl(flag: string | undefined, patient = true): Promise<string> {
  const control = namedControl(flag);
  if (control !== undefined && isNetwork(control)) return controlElsewhere(control, patient);
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

/** Says at once what is in the way: nobody answers, somebody else does, the token is good for nothing. */
async function controlElsewhere(named: string, patient: boolean): Promise<string> {
  const [{ introduceTo }, { openMembers }] = await Promise.all([import("./identities.ts"), import("./members-client.ts")]);
  const address = await introduceTo(named);
  const several = placesOf(parseNetworkUrl(address)).length > 1;
  const giveUpAtMs = performance.now() + (several && patient ? takeoverMs : 0);
  for (let waited = false; ; waited = true) {
    using members = openMembers(address);
    try {
      await members.whoAmI();
      return address;
    } catch (error) {
      if (!(error instanceof HobError) || error.kind === "denied") throw error;
      if (error.kind !== "unavailable" || performance.now() > giveUpAtMs)
        throw new HobError("unavailable", `no control answers at ${address}: ${error.message}`, { cause: error });
      if (!waited) process.stderr.write(`hob: no control answers at ${address} yet: waiting for one that takes over\n`);
    }
    await after(againMs);
  }
}
