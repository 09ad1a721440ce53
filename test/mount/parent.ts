// ⑤ A process that starts a FUSE daemon with one mount, says the daemon's pid, and then waits to be killed. For daemon.test.ts. With "look" its main
// thread looks a name up in the mount of a daemon that answers no more and is killed meanwhile, and says what it saw.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openContentFolder } from "../../base/content-folder.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import { encodeManifest } from "../../fusefs/image/encode.ts";

const folder = process.argv[2] as string;
const store = openContentFolder(join(folder, "store"), { durable: false });
const digest = await store.put(encodeManifest([]));
const server = await startFuseServer({
  store: store.root,
  view: "tree",
  fetch: () => Promise.reject(new Error("no")),
  logFile: join(folder, "log"),
  run: join(folder, "run"),
});
await mkdir(join(folder, "image"));
await server.mountImage(digest, join(folder, "image"));
console.log(server.pid);
if (process.argv[3] === "look") {
  process.kill(server.pid, "SIGSTOP");
  spawn("sh", ["-c", `sleep 0.2; kill -9 ${server.pid}`], { stdio: "ignore" });
  const found = existsSync(join(folder, "image/absent"));
  console.log(found ? "found" : "not found");
}
