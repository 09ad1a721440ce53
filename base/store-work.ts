// Work in a store's tmp folder: files that are not blobs yet, and leases. Named by the process that they belong to, so that what the dead have left is known.

import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
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
  for (const { path, what, alive } of worksIn(root)) {
    if (alive) continue;
    if (what === "lease") giveUp(root, path, false);
    else rmSync(path, { recursive: true, force: true });
  }
}

export interface Lease extends Disposable {
  /** This has been put for it: what is left of a work that fails, or dies, is found by that. */
  note(digest: string): void;
  /** The work is done: something reaches what was put, or these of it. */
  done(reached?: ReadonlySet<string>): void;
}

const notedAtOnce = 100;

/**
 * While it is held, nothing that was put into the store since, or found there by `put`, is collected or evicted, whichever process does it:
 * for imports and builds, which put contents before the manifest that reaches them.
 */
export function openLease(root: string): Lease {
  const path = workFile(root, "lease");
  const begun = new Date();
  let noted: string[] = [];
  let isDone = false;
  /** Its time says since when it holds. */
  function write(): void {
    writeFileSync(path, noted.map((digest) => `${digest}\n`).join(""), { flag: "a", mode: 0o600 });
    utimesSync(path, begun, begun);
    noted = [];
  }
  const said = (operation: string): void => {
    try {
      write();
    } catch (error) {
      throw systemError(operation, error, "free some space, then try again");
    }
  };
  said("taking a lease of the blob store");
  return {
    note(digest) {
      if (noted.push(digest) >= notedAtOnce) said("noting what an import has put");
    },
    done(reached) {
      isDone = true;
      const all = [...readFileSync(path, "utf8").split("\n").filter(Boolean), ...noted];
      const lost = reached ? all.filter((digest) => !reached.has(digest)) : [];
      if (lost.length === 0) return;
      writeFileSync(path, lost.map((digest) => `${digest}\n`).join(""), { mode: 0o600 });
      noted = [];
      isDone = false; // of these
    },
    [Symbol.dispose]() {
      try {
        if (!isDone) write();
        giveUp(root, path, isDone);
      } catch {
        rmSync(path, { force: true }); // on a full disk its notes are lost; why its work has failed is what counts
      }
    },
  };
}

/** These were put by a work that has ended before anything reached them. */
export function leaveBehind(root: string, digests: readonly string[]): void {
  if (digests.length === 0) return;
  using lease = openLease(root);
  for (const digest of digests) lease.note(digest);
}

const leftFolder = (root: string): string => join(root, "left");

/** Ends a lease; what its work has put, and nobody may ever reach, is noted for whoever collects. */
function giveUp(root: string, lease: string, isDone: boolean): void {
  if (isDone || !statSync(lease, { throwIfNoEntry: false })?.size) {
    rmSync(lease, { force: true });
    return;
  }
  mkdirSync(leftFolder(root), { recursive: true, mode: 0o700 });
  renameSync(lease, join(leftFolder(root), basename(lease)));
}

/** Digests that works which failed have put, by the file that notes them: once collected, it can go. */
export function leftBehind(root: string): { file: string; digests: string[] }[] {
  if (!existsSync(leftFolder(root))) return [];
  return readdirSync(leftFolder(root)).map((name) => {
    const file = join(leftFolder(root), name);
    return { file, digests: readFileSync(file, "utf8").split("\n").filter(Boolean) };
  });
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
