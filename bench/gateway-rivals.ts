// What the gateway's rows stand beside: the same echo served by node, and by uvicorn from the distribution's packages.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "./gateway-asker.ts";

const underNode = `import { createServer } from "node:http";
const server = createServer((request, response) => {
  const body = JSON.stringify({ text: new URL(request.url, "http://localhost").searchParams.get("text") });
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(String(server.address().port) + "\\n"));
`;

const underUvicorn = `import json, socket, sys
from urllib.parse import parse_qs
import uvicorn

async def echo(scope, receive, send):
    text = parse_qs(scope["query_string"].decode())["text"][0]
    body = json.dumps({"text": text}, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(echo, lifespan="off", access_log=False, log_level="warning")).run(sockets=[listener])
`;

const python = "/usr/bin/python3"; // where the distribution's packages are

interface Rival {
  name: string;
  target: Target;
  stop(): void;
}

async function start(name: string, command: string, file: string, text: string): Promise<Rival> {
  writeFileSync(file, text);
  const child = spawn(command, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
  return { name, target: { host: "127.0.0.1", port: Number(String(port[0])), path: "/" }, stop: () => void child.kill() };
}

export const startNode = (folder: string): Promise<Rival> =>
  start("the same handler under node", process.execPath, join(folder, "rival.mjs"), underNode);

/** Undefined where the distribution's package is not installed: the bench says so. */
export async function startUvicorn(folder: string): Promise<Rival | undefined> {
  if (spawnSync(python, ["-c", "import uvicorn"]).status !== 0) return undefined;
  return start("the same handler under uvicorn", python, join(folder, "rival.py"), underUvicorn);
}
