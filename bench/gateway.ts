// An endpoint's echo through the gateway on warm containers: how long one takes, how many a second go through, and whether ten thousand idle
// connections and a thousand slow ones are in their way. Beside it the same handler under node.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../test/drive/dev-process.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const python = `import hob

app = hob.App("bench")

@app.endpoint(concurrency=4, max_containers=1)
def echo(text: str):
    return {"text": text}
`;
const typescript = `import { App } from "hob";

const app = new App("bench-ts");
export const echo = app.fetch({ maxContainers: 1 }, (request: Request) => Response.json({ text: new URL(request.url).searchParams.get("text") }));
`;
const rival = `import { createServer } from "node:http";
const server = createServer((request, response) => {
  const body = JSON.stringify({ text: new URL(request.url, "http://localhost").searchParams.get("text") });
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(String(server.address().port) + "\\n"));
`;

const warmUp = 300;
const oneByOneCount = 1_000;
const atATime = 16;
const manyCount = 6_000;
const idle = 10_000;
const slow = 1_000;
const slowEveryMs = 1_000;

interface Target {
  host: string;
  port: number;
  /** "/bench/echo" */
  path: string;
}

/** A connection that asks one thing after the other; resolves with each answer's time, in ms. */
async function openAsker({ host, port, path }: Target): Promise<{ ask(n: number): Promise<number>; socket: Socket }> {
  const socket = createConnection(port, host).setNoDelay(true);
  await once(socket, "connect");
  let heard = "";
  let waiting: { resolve(): void; reject(error: Error): void; n: number } | undefined;
  socket.on("data", (piece) => {
    heard += piece.toString("latin1");
    const end = heard.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(heard)?.[1] ?? Number.NaN);
    if (end < 0 || !(heard.length >= end + 4 + length) || !waiting) return;
    const { resolve, reject, n } = waiting;
    waiting = undefined;
    if (heard.startsWith("HTTP/1.1 200") && heard.endsWith(`"n${n}"}`)) resolve();
    else reject(new Error(`request ${n} was answered: ${heard}`));
    heard = "";
  });
  socket.on("close", () => waiting?.reject(new Error("the connection ended")));
  return {
    socket,
    async ask(n) {
      const begin = performance.now();
      await new Promise<void>((resolve, reject) => {
        waiting = { resolve, reject, n };
        socket.write(`GET ${path}?text=n${n} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
      });
      return performance.now() - begin;
    },
  };
}

async function oneByOne(target: Target): Promise<number[]> {
  const asker = await openAsker(target);
  const times: number[] = [];
  for (let n = 0; n < warmUp + oneByOneCount; n++) {
    const ms = await asker.ask(n);
    if (n >= warmUp) times.push(ms);
  }
  asker.socket.destroy();
  return times;
}

/** Requests a second, with so many under way. */
async function perSecond(target: Target): Promise<number> {
  const askers = await Promise.all(Array.from({ length: atATime }, () => openAsker(target)));
  await Promise.all(askers.map(({ ask }, n) => ask(n)));
  let next = 0;
  const begin = performance.now();
  await Promise.all(
    askers.map(async ({ ask, socket }) => {
      while (next < manyCount) await ask(next++);
      socket.destroy();
    }),
  );
  return (manyCount / (performance.now() - begin)) * 1000;
}

/** Connections that say nothing, and such as send a byte of their body a second. */
async function crowd({ host, port, path }: Target): Promise<Disposable> {
  const sockets: Socket[] = [];
  const open = async (): Promise<Socket> => {
    const socket = createConnection(port, host);
    socket.on("error", () => {}); // counted below, by those that are open
    await once(socket, "connect");
    sockets.push(socket);
    return socket;
  };
  for (let n = 0; n < idle + slow; n += 500) await Promise.all(Array.from({ length: 500 }, open));
  const slowly = sockets.slice(-slow);
  for (const socket of slowly) socket.write(`POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-length: 9000\r\n\r\n`);
  const timer = setInterval(() => {
    for (const socket of slowly) socket.write("x");
  }, slowEveryMs);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      const lost = sockets.filter((socket) => socket.destroyed || socket.readyState !== "open").length;
      for (const socket of sockets) socket.destroy();
      if (lost > 0) throw new Error(`${lost} of the idle and slow connections were ended`);
    },
  };
}

async function startRival(folder: string): Promise<{ target: Target; stop(): void }> {
  const file = join(folder, "rival.mjs");
  writeFileSync(file, rival);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(child.stdout, "data");
  return { target: { host: "127.0.0.1", port: Number(String(port)), path: "/" }, stop: () => void child.kill() };
}

function rowsOf(row: string, own: { times: number[]; rate: number }, node: { times: number[]; rate: number }): Row[] {
  const base = { bench: "gateway", row, rival: "the same handler under node" };
  const p50 = { value: quantile(own.times, 0.5), rivalValue: quantile(node.times, 0.5) };
  const p99 = { value: quantile(own.times, 0.99), rivalValue: quantile(node.times, 0.99) };
  return [
    makeRow({ ...base, stat: "p50", unit: "ms", ...p50 }, { atMost: 4 }),
    makeRow({ ...base, stat: "p99", unit: "ms", ...p99 }),
    makeRow(
      { ...base, row: `${row}-rate`, stat: "mean", unit: "1/s", value: own.rate, rivalValue: node.rate },
      { atLeast: 1_000 },
    ),
  ];
}

export async function gateway({ say }: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), python);
  writeFileSync(join(project, "app.ts"), typescript);
  const environment = { XDG_STATE_HOME: join(work, "state"), XDG_CACHE_HOME: join(work, "cache"), HOB_LINGER_MS: "3000" };
  const node = await startRival(work);
  try {
    await using dev = startDev(project, [], environment);
    const { line } = await dev.next("ready", ({ event }) => event === "ready");
    const urls = line["urls"] as string[];
    const targets = urls.map((url): Target => {
      const { hostname: host, port, pathname: path } = new URL(url);
      return { host, port: Number(port), path };
    });
    const [inPython, inTypeScript] = ["/bench/", "/bench-ts/"].map(
      (start) => targets.find(({ path }) => path.startsWith(start))!,
    );
    const measured = async (target: Target) => ({ times: await oneByOne(target), rate: await perSecond(target) });
    say(`gateway: ${oneByOneCount} requests one after the other, then ${manyCount} with ${atATime} at a time`);
    const beside = await measured(node.target);
    const rows = [
      ...rowsOf("echo-python", await measured(inPython!), beside),
      ...rowsOf("echo-typescript", await measured(inTypeScript!), beside),
    ];
    say(`gateway: the same beside ${idle} idle connections and ${slow} slow ones`);
    using _ = await crowd(inPython!);
    return [...rows, ...rowsOf("echo-python-in-a-crowd", await measured(inPython!), beside)];
  } finally {
    node.stop();
    rmSync(work, { recursive: true, force: true });
  }
}
