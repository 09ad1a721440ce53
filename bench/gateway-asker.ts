// One connection of HTTP that asks one thing after the other and says how long each answer took.

import { once } from "node:events";
import { createConnection, type Socket } from "node:net";

export interface Target {
  host: string;
  port: number;
  /** "/bench/echo" */
  path: string;
}

interface Asker {
  /** Answers with the time that it took, in ms. */
  ask(n: number): Promise<number>;
  socket: Socket;
}

export async function openAsker({ host, port, path }: Target): Promise<Asker> {
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
