// ⑤ What is done with each view: reads of a large file by fio, walks that read every file, and starts of Python and Node.

import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { largeFile } from "./tree.ts";

/** Directory entries and inodes are forgotten, contents are kept: as on a machine that has the image, but has not used it lately. */
const forgetNames = (): void => writeFileSync("/proc/sys/vm/drop_caches", "2");

function milliseconds(step: () => void): number {
  const began = performance.now();
  step();
  return performance.now() - began;
}

function succeed(command: string, args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr.toString().slice(-400)}`);
}

/** MB a second, by what fio says of itself. */
function fio(root: string, args: string[]): number {
  const options = ["--readonly", "--invalidate=0", "--output-format=json", "--name=read", `--filename=${join(root, largeFile)}`];
  const said = JSON.parse(execFileSync("fio", [...options, ...args], { encoding: "utf8" })) as {
    jobs: { read: { bw_bytes: number } }[];
  };
  return (said.jobs[0]?.read.bw_bytes ?? Number.NaN) / 1e6;
}

export const hasFio = spawnSync("fio", ["--version"]).status === 0;

const walk = (root: string): void =>
  succeed("sh", ["-c", 'find "$1" -xdev -type f ! -name large -print0 | xargs -0 cat > /dev/null', "sh", root]);
const imports = "import asyncio, email, http.client, json, sqlite3, ssl, unittest, xml.dom.minidom";
const python = (root: string): void => succeed("chroot", [root, "/usr/bin/python3", "-c", imports]);
const node = (root: string): void => succeed("chroot", [root, "/usr/local/bin/node", "-e", "require('http')"]);

/** Of the second time, right after the first. */
function again(step: () => void): number {
  step();
  return milliseconds(step);
}

export interface Work {
  row: string;
  unit: "ms" | "MB/s";
  /** In this unit; a root is a view below its overlay. */
  measure(root: string): number;
  rounds: number;
}

export const works: readonly Work[] = [
  {
    row: "seq-read",
    unit: "MB/s",
    rounds: 7,
    measure: (root) => fio(root, ["--rw=read", "--bs=1M", "--ioengine=psync", "--loops=2"]),
  },
  {
    row: "mmap-read",
    unit: "MB/s",
    rounds: 7,
    measure: (root) => fio(root, ["--rw=read", "--bs=1M", "--ioengine=mmap", "--loops=2"]),
  },
  {
    ...{ row: "random-read", unit: "MB/s", rounds: 7 },
    measure: (root) => fio(root, ["--rw=randread", "--bs=4k", "--ioengine=psync", "--io_size=512M"]),
  },
  {
    ...{ row: "walk-cold", unit: "ms", rounds: 9 },
    measure(root) {
      forgetNames();
      return milliseconds(() => walk(root));
    },
  },
  { row: "walk-warm", unit: "ms", rounds: 5, measure: (root) => again(() => walk(root)) },
  {
    ...{ row: "python-first", unit: "ms", rounds: 15 },
    measure(root) {
      forgetNames();
      succeed("chroot", ["/", "/bin/true"]); // what starts it is not what is measured
      return milliseconds(() => python(root));
    },
  },
  { row: "python-later", unit: "ms", rounds: 25, measure: (root) => again(() => python(root)) },
  { row: "node-later", unit: "ms", rounds: 25, measure: (root) => again(() => node(root)) },
];
