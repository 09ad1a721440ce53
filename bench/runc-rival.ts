// The rival that recreates: a cold `runc run` of the same file in a plain container over the machine's own /usr.

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { $ } from "zx";

const root = ["usr", "proc", "dev", "tmp", "srv", "etc"];
const links = ["bin", "lib", "lib64", "sbin"];

/** Makes a bundle in `folder` that can run files of `files`; the returned function times one run, in milliseconds. */
export function runcRival(folder: string, files: string): (argv: string[]) => Promise<number> {
  for (const name of root) mkdirSync(join(folder, "rootfs", name), { recursive: true });
  for (const name of links) symlinkSync(`usr/${name}`, join(folder, "rootfs", name));
  mkdirSync(join(folder, "rootfs/opt/node"), { recursive: true });
  let count = 0;
  return async (argv) => {
    const node = process.execPath;
    const config = {
      ociVersion: "1.0.2",
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: argv.map((word) => (word === node ? "/opt/node/node" : word)),
        env: ["PATH=/usr/bin"],
        cwd: "/srv",
        noNewPrivileges: true,
      },
      root: { path: "rootfs", readonly: false },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k"] },
        { destination: "/usr", type: "bind", source: "/usr", options: ["bind", "ro"] },
        { destination: "/etc", type: "bind", source: "/etc", options: ["bind", "ro"] }, // library alternatives, the loader's cache
        { destination: "/srv", type: "bind", source: files, options: ["bind", "ro"] },
        { destination: "/opt/node/node", type: "bind", source: node, options: ["bind", "ro"] },
      ],
      linux: { namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })) },
    };
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    const started = performance.now();
    await $({
      quiet: true,
      cwd: folder,
    })`runc --root ${join(folder, "state")} run --bundle ${folder} hob-bench-${process.pid}-${count++}`;
    return performance.now() - started;
  };
}
