// Where files of hob lie on a machine: XDG folders for what is kept, a run folder for what dies with the boot.

import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";

const home = (variable: string, fallback: string): string => join(process.env[variable] || join(homedir(), fallback), "hob");

export const stateFolder = (): string => home("XDG_STATE_HOME", ".local/state");
export const configFolder = (): string => home("XDG_CONFIG_HOME", ".config");
export const cacheFolder = (): string => home("XDG_CACHE_HOME", ".cache");
/** The person's settings. */
export const configFile = (): string => join(configFolder(), "config.jsonc");
/** What functions were called with, by hand. */
export const inputsFile = (): string => join(stateFolder(), "inputs.json");
/** There once the tour was dismissed. */
export const tourFile = (): string => join(stateFolder(), "tour-over");
/** Inputs that were kept, to be run again. */
export const keptInputsFolder = (): string => join(stateFolder(), "kept-inputs");

/**
 * Sockets, mount points and container state. As root below /run, where every component has o+x (a container's mapped root must
 * be able to walk to its root filesystem); HOB_RUN_DIR overrides it, for tests.
 */
export function runFolder(): string {
  if (process.env["HOB_RUN_DIR"]) return process.env["HOB_RUN_DIR"];
  if (process.getuid?.() === 0) return "/run/hob";
  return join(process.env["XDG_RUNTIME_DIR"] || join("/tmp", `hob-${process.getuid?.() ?? 0}`), "hob");
}

/** The files of one embedded pool, below the state folder `state`. `install` is the checkout's root: two checkouts have two pools, side by side. */
export interface PoolPaths {
  key: string; // 8 hex digits; also in cgroup names
  run: string; // RUN/KEY
  socket: string; // control's
  state: string; // STATE/pools/KEY: control's database and blobs, logs
  store: string; // the node's blobs; control of an embedded pool shares it
}

export function poolPaths(install: string, state: string = stateFolder()): PoolPaths {
  const key = createHash("sha256").update(`${install}\n${state}`).digest("hex").slice(0, 8);
  const run = join(runFolder(), key);
  return { key, run, socket: join(run, "control.sock"), state: join(state, "pools", key), store: join(cacheFolder(), "blobs") };
}
