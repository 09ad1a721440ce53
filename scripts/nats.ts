// `npm run nats [-- FOLDER]`: starts three servers of NATS at 127.0.0.1:4222, 4223 and 4224, says how to use them, and ends them with ctrl-c.

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { stateFolder } from "../base/paths.ts";
import { startNatsServers } from "./nats-servers.ts";

const firstPort = 4222;
const folder = resolve(process.argv[2] ?? join(stateFolder(), "nats"));
mkdirSync(folder, { recursive: true, mode: 0o700 });
const ports = [0, 1, 2].map((n) => firstPort + n);

try {
  await using servers = await startNatsServers(folder, ports.length, ports);
  process.stdout.write(`three servers of NATS keep a pool in ${folder}; ctrl-c ends them\n`);
  process.stdout.write(`  bin/hob control --engine ${servers.url} --listen unix:/run/hob/a.sock --state ${join(folder, "a")}\n`);
  process.stdout.write("another control of the pool has a socket and a state of its own, and the first one's secrets.key\n");
  await new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => done());
  });
} catch (error) {
  process.stderr.write(`hob: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 3;
}
