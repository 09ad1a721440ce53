// ⑤ Finds and detaches our mounts below a folder: what a killed daemon leaves, and what a new agent sweeps.

import { readFileSync } from "node:fs";
import { HobError } from "../base/errors.ts";
import { FUSE_TYPE } from "./session.ts";
import { detach } from "./syscalls.ts";
import { errno } from "./wire/constants.ts";

/** Spaces and the like are octal in /proc/self/mountinfo (proc(5)). */
const unescapePath = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Ours are FUSE's, and images' names. */
const types: readonly string[] = [FUSE_TYPE, "erofs"];

/** Mount points of our types at or below `folder`, innermost first. Pure. */
export function mountPointsBelow(mountinfo: string, folder: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const point = unescapePath(before?.split(" ")[4] ?? "");
    if (!types.includes(after?.split(" ")[0] ?? "")) continue;
    if (point === folder || point.startsWith(`${folder.replace(/\/$/, "")}/`)) points.push(point);
  }
  return points.reverse();
}

/** Detaches every mount of ours at or below `folder`, alive or dead, in this mount namespace. Returns their mount points. */
export function detachMounts(folder: string): string[] {
  const points = mountPointsBelow(readFileSync("/proc/self/mountinfo", "utf8"), folder);
  for (const point of points) {
    const failed = detach(point);
    // EINVAL: it went with another one. Everything else concerns the whole machine.
    if (failed !== 0 && failed !== errno.EINVAL) throw new HobError("unavailable", `unmounting ${point}: errno ${failed}`);
  }
  return points;
}
