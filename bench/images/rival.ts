// The rival: skopeo fetches the whole image from a registry beyond the link, umoci unpacks it, python starts.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import type { Debian } from "./debian.ts";
import { farAddress, type Link } from "./link.ts";

export interface Rival extends AsyncDisposable {
  /** Milliseconds until the program has printed, when all is fetched and unpacked for it alone; that is done once, for all programs. */
  start(program: string): number;
}

const port = 5001;

const inherit = { stdio: ["ignore", "ignore", "inherit"] as ["ignore", "ignore", "inherit"] };

async function answers(): Promise<void> {
  for (;;) {
    const socket = connect(port, farAddress);
    const open = await Promise.race([
      once(socket, "data").then(() => true),
      after(200, true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await after(100);
  }
}

/** Starts the registry and fills it. */
export async function startRival(debian: Debian, link: Link, work: string, delayMs: number): Promise<Rival> {
  const settings = { version: 0.1, log: { level: "error" }, storage: { filesystem: { rootdirectory: join(work, "registry") } } };
  writeFileSync(join(work, "registry.yml"), JSON.stringify({ ...settings, http: { addr: "127.0.0.1:5000" } }));
  const [file = "", ...args] = [...link.beyond, "docker-registry", "serve", join(work, "registry.yml")];
  const registry = spawn(file, args, { stdio: "ignore" });
  await link.relay("far", `${farAddress}:${port}`, "127.0.0.1:5000", delayMs);
  await answers();
  const copy = [
    "skopeo",
    "copy",
    "-q",
    "--dest-tls-verify=false",
    `oci:${debian.layout}:debian`,
    "docker://127.0.0.1:5000/debian:bench",
  ];
  execFileSync(link.beyond[0]!, [...link.beyond.slice(1), ...copy], inherit);
  let wholeMs: number | undefined;
  function fetchWhole(): number {
    const began = performance.now();
    const source = `docker://${farAddress}:${port}/debian:bench`;
    execFileSync("skopeo", ["copy", "-q", "--src-tls-verify=false", source, `oci:${work}/pulled:debian`], inherit);
    execFileSync("umoci", ["unpack", "--image", `${work}/pulled:debian`, `${work}/bundle`], inherit);
    return performance.now() - began;
  }
  return {
    start(program) {
      wholeMs ??= fetchWhole();
      const began = performance.now();
      execFileSync("chroot", [`${work}/bundle/rootfs`, "/usr/bin/python3", "-c", program], inherit);
      return wholeMs + performance.now() - began;
    },
    async [Symbol.asyncDispose]() {
      registry.kill();
      await once(registry, "exit");
    },
  };
}
