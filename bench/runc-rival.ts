// The rival that recreates: a cold `runc run` of the same file in a plain container over the machine's own /usr.

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { $ } from "zx";

const root = ["usr", "proc", "dev", "tmp", "srv", "etc"];
const links = ["bin", "lib", "lib64", "sbin"];

/** Runs a command in a container of its own; answers the milliseconds that it took. */
export interface RuncRival {
  (argv: string[]): Promise<number>;
  /** Leaves it running; answers its id. */
  detached(argv: string[]): Promise<string>;
  delete(id: string): Promise<void>;
}

/** Makes a bundle in `folder` that can run files of `files`. */
export function runcRival(folder: string, files: string): RuncRival {
  for (const name of root) mkdirSync(join(folder, "rootfs", name), { recursive: true });
  for (const name of links) symlinkSync(`usr/${name}`, join(folder, "rootfs", name));
  mkdirSync(join(folder, "rootfs/opt/node"), { recursive: true });
  const state = join(folder, "state");
  const shell = $({ quiet: true, cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const idOf = (count: number): string => `hob-bench-${process.pid}-${basename(folder)}-${count}`;
  let count = 0;
  return Object.assign(
    async (argv: string[]) => {
      writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(files, argv)));
      const started = performance.now();
      await shell`runc --root ${state} run --bundle ${folder} ${idOf(count++)}`;
      return performance.now() - started;
    },
    {
      async detached(argv: string[]) {
        writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(files, argv)));
        const id = idOf(count++);
        // Its output is the container's: as pipes they would be waited for.
        await $({ quiet: true, cwd: folder, stdio: "ignore" })`runc --root ${state} run --detach --bundle ${folder} ${id}`;
        return id;
      },
      delete: async (id: string) => void (await shell`runc --root ${state} delete --force ${id}`),
    },
  );
}

function configOf(files: string, argv: string[]): unknown {
  const node = process.execPath;
  return {
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
}
