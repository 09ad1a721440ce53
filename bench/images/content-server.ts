// Control's Content service by itself, in a process of its own: `node bench/images/content-server.ts SOCKET STORE TRACE_FILE`.

import { existsSync, readFileSync } from "node:fs";
import { Server } from "@grpc/grpc-js";
import { openContentFolder } from "../../base/content-folder.ts";
import { createContent } from "../../control/content.ts";
import { withLimits } from "../../control/limits.ts";
import { ContentService } from "../../proto/gen/hob/v1/content.ts";
import { channelOptions, serverCredentials } from "../../proto/transport.ts";

const [socket = "", root = "", traceFile = ""] = process.argv.slice(2);
const blobs = openContentFolder(root, { durable: false });
const service = createContent({
  blobs,
  snapshots: { has: blobs.has, content: () => undefined },
  spread: { elsewhere: () => undefined },
  limits: withLimits(),
  trace: () => (existsSync(traceFile) ? readFileSync(traceFile, "utf8") : ""),
});
const server = new Server(channelOptions);
server.addService(ContentService, service);
server.bindAsync(`unix:${socket}`, serverCredentials(), () => process.stdout.write("ready\n"));
process.stdin.on("end", () => process.exit(0)).resume();
