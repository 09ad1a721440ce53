// Work in a store's tmp folder: files that are not blobs yet, and leases. Named by the process that they belong to, so that what the dead have left is known.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, systemError } from "./errors.ts";

/** What other programs, or an older hob, have left in tmp is nobody's after a day. */
const strangerMs = 24 * 3600 * 1000;

/** Clock ticks since boot, field 22 of /proc/PID/stat: a pid that is used again is another process. Undefined for a dead one. */
function startTime(pid: number | "self"): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return undefined;
    throw systemError(`looking for process ${pid}`, error);
  }
}

const own = `${process.pid}.${startTime("self")}`;

/** A path that nobody else has, in the tmp folder of that store. Renaming makes it a blob; what stays is swept after the process's end. */
export const workFile = (root: string, what: string): string =>
  join(root, "tmp", `${own}.${what}.${randomBytes(8).toString("hex")}`);

interface Work {
  path: string;
  what: string;
  alive: boolean;
}

function* worksIn(root: string): Generator<Work> {
  const alive = new Map<string, boolean>([[own, true]]);
  for (const name of readdirSync(join(root, "tmp"))) {
    const path = join(root, "tmp", name);
    const [pid = "", start = "", what = ""] = /^[0-9]+\.[0-9]+\./.test(name) ? name.split(".") : [];
    const owner = `${pid}.${start}`;
    if (pid && !alive.has(owner)) alive.set(owner, startTime(Number(pid)) === start);
    yield { path, what, alive: pid ? (alive.get(owner) as boolean) : !isOld(path) };
  }
}

function isOld(path: string): boolean {
  const made = statSync(path, { throwIfNoEntry: false });
  return made !== undefined && Date.now() - made.mtimeMs > strangerMs;
}

/** Removes what processes that have ended left. Whoever opens a store for a service calls it. */
export function sweepWork(root: string): void {
  for (const { path, alive } of worksIn(root)) if (!alive) rmSync(path, { recursive: true, force: true });
}

/**
 * While it is held, nothing that was put into the store since, or found there by `put`, is collected or evicted, whichever process does it:
 * for imports and builds, which put contents before the manifest that reaches them.
 */
export function openLease(root: string): Disposable {
  const path = workFile(root, "lease");
  try {
    writeFileSync(path, "", { flag: "wx", mode: 0o600 });
  } catch (error) {
    throw systemError("taking a lease of the blob store", error, "free some space, then try again");
  }
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

/** Since when blobs are under lease (ms since 1970); Infinity when none is. */
export function leasedSince(root: string): number {
  let since = Number.POSITIVE_INFINITY;
  for (const { path, what, alive } of worksIn(root)) {
    if (what !== "lease" || !alive) continue;
    const made = statSync(path, { throwIfNoEntry: false });
    if (made) since = Math.min(since, made.mtimeMs);
  }
  return since;
}
