// ⑧ Ends a pool and waits until it is gone; and clears away what pools that were killed have left.

import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { poolPaths, runFolder } from "../base/paths.ts";
import { unixAddress } from "../proto/address.ts";
import { socketPath } from "./control-address.ts";
import { answers, holderLives } from "./embedded.ts";
import { openPoolClient } from "./pool-client.ts";

/** Containers end in a second, the agent is given five by control. */
const stopTimeoutMs = 15_000;

/**
 * Resolves once control's socket is gone, which it removes last; false when no pool was running. Calls in flight have `patienceMs` to
 * finish, unless `hurry` aborts first.
 */
export async function stopPool(control: string | undefined, patienceMs: number, hurry: AbortSignal): Promise<boolean> {
  const socket = control === undefined ? poolPaths(installRoot).socket : socketPath(control);
  if (!(await answers(socket))) return false;
  using gone = untilGone(socket, patienceMs + stopTimeoutMs);
  using pool = openPoolClient(unixAddress(socket));
  await pool.shutdown(patienceMs);
  const cut = (): void => void pool.shutdown(0).catch(() => {}); // it has just ended
  hurry.addEventListener("abort", cut, { once: true });
  if (hurry.aborted) cut();
  await gone.promise;
  hurry.removeEventListener("abort", cut);
  if (control === undefined) await untilEnded(poolPaths(installRoot).state);
  return true;
}

/** What follows the socket's removal takes milliseconds: the database is closed. */
async function untilEnded(state: string): Promise<void> {
  const deadline = performance.now() + stopTimeoutMs;
  while (holderLives(state)) {
    if (performance.now() > deadline) throw new HobError("unavailable", "control serves no one any more, but does not end");
    await new Promise((resolve) => setTimeout(resolve, 10)); // it is no child of ours: nothing tells of its end
  }
}

function untilGone(file: string, patienceMs: number): { promise: Promise<void> } & Disposable {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = (): void => {
    if (!existsSync(file)) resolve();
  };
  const timer = setTimeout(() => {
    const remedy = "`hob pool stop --force` once its process has been killed";
    reject(new HobError("unavailable", `the pool has not ended within ${patienceMs / 1000} s`, { remedy }));
  }, patienceMs);
  const watcher = watch(dirname(file), look);
  watcher.on("error", look); // the folder itself was removed
  promise.catch(() => {}); // the wait may never be awaited: shutdown can be refused
  return {
    promise,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      watcher.close();
    },
  };
}

export async function sweepDead(): Promise<{ containers: number; cgroups: number; folders: number }> {
  const { sweep } = await import("../agent/sweep.ts");
  return await sweep(runFolder());
}
