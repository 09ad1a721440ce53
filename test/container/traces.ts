// ⑤ For isolation.test.ts: where on this machine a text is found, and what a pool's containers hold of the kernel.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { cgroupFolders, cgroupProcesses } from "../../agent/container/cgroup.ts";
import { identify, type ProcessId } from "../../agent/container/process.ts";
import { errnoOf } from "../../base/errors.ts";

/** What `look` finds out about a process or a file; undefined when it ended meanwhile. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES", "EINVAL"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

const pids = (): number[] => readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));

/** The text, and what it looks like in JSON's bytes and in hex. */
const forms = (text: string): Buffer[] => [
  Buffer.from(text),
  Buffer.from(Buffer.from(text).toString("base64").replace(/=+$/, "")),
  Buffer.from(Buffer.from(text).toString("hex")),
];

/** Processes whose environment or command line has this text: of all that this machine has. */
export function processesWith(text: string): string[] {
  return pids().flatMap((pid) =>
    ["environ", "cmdline"].flatMap((what) => {
      const bytes = unlessGone(() => readFileSync(`/proc/${pid}/${what}`));
      return bytes && forms(text).some((form) => bytes.includes(form)) ? [`/proc/${pid}/${what}`] : [];
    }),
  );
}

/**
 * Files below `folder` whose content has this text, as the process `seer` sees them: with its mounts, the writable layers and /tmp of
 * containers among them. Images and the roots that lie on them are left out: what was written in those is in the layers.
 */
export function filesWith(text: string, folder: string, seer: number): string[] {
  const root = `/proc/${seer}/root`;
  const mounts = readFileSync(`/proc/${seer}/mountinfo`, "utf8").split("\n");
  const images = new Set(
    mounts.filter((line) => / - (fuse\S*|overlay) /.test(line)).map((line) => `${root}${line.split(" ")[4] ?? ""}`),
  );
  const found: string[] = [];
  const walk = (path: string): void => {
    if (images.has(path)) return;
    for (const entry of unlessGone(() => readdirSync(path, { withFileTypes: true })) ?? []) {
      const file = join(path, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.isFile() && !images.has(file)) {
        const bytes = unlessGone(() => readFileSync(file));
        if (bytes && forms(text).some((form) => bytes.includes(form))) found.push(file.slice(root.length));
      }
    }
  };
  walk(`${root}${folder}`);
  return found;
}

/** The first processes and everything below them of a pool's containers, the reserve's among them. */
export async function containerProcesses(key: string): Promise<ProcessId[]> {
  const parents = await cgroupFolders(`hob-${key}`);
  const folders = parents.flatMap((parent) =>
    readdirSync(parent)
      .filter((name) => /^[0-9a-f]{8}$/.test(name))
      .map((name) => join(parent, name)),
  );
  const found = new Set((await Promise.all(folders.map(cgroupProcesses))).flat());
  return [...found].flatMap((pid) => identify(pid) ?? []);
}

/** Each process with its network namespace. */
export function networks(): { pid: number; network: string }[] {
  return pids().flatMap((pid) => {
    const network = unlessGone(() => readlinkSync(`/proc/${pid}/ns/net`));
    return network === undefined ? [] : [{ pid, network }];
  });
}
