// ⑤ The containers' name server: passes questions on to the node's own servers, over UDP and TCP, bounded in number and time.

import { randomInt } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket as Stream } from "node:net";
import { systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";

const port = 53;
const patienceMs = 3_000; // for one server; then the next is asked
const questionsAtOnce = 512;
const questionsOfOne = 128; // from one container
const connectionsAtOnce = 64;
const idleMs = 10_000;
const rereadMs = 2_000;
const headBytes = 12; // RFC 1035, 4.1.1

/** The servers of a resolv.conf(5), in order; IPv6 with its zone as written. */
export function parseServers(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

export interface ResolverOptions {
  address: string;
  /** The node's own: /etc/resolv.conf. */
  file: string;
  log: Log;
}

/** Listens until it is disposed of. */
export async function startResolver({ address, file, log }: ResolverOptions): Promise<Disposable> {
  let servers: string[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let asked = 0;
  const askedBy = new Map<string, number>();
  const open = new Set<{ destroy(): void }>();

  function currentServers(): string[] {
    if (performance.now() - readAtMs < rereadMs) return servers;
    readAtMs = performance.now();
    try {
      servers = parseServers(readFileSync(file, "utf8"));
    } catch (error) {
      log.warn({ file, error: String(error) }, "the node's name servers");
    }
    return servers;
  }

  function count(from: string, step: 1 | -1): void {
    asked += step;
    const left = (askedBy.get(from) ?? 0) + step;
    if (left > 0) askedBy.set(from, left);
    else askedBy.delete(from);
  }

  /** A socket and a number of its own for each question: an answer must match both. */
  function ask(question: Buffer, server: string): Promise<Buffer | undefined> {
    const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
    const number = randomInt(65_536);
    const sent = Buffer.from(question);
    sent.writeUInt16BE(number, 0);
    return new Promise<Buffer | undefined>((resolve) => {
      const closer = { destroy: () => resolve(undefined) };
      open.add(closer);
      const timer = setTimeout(() => resolve(undefined), patienceMs);
      socket.on("error", () => resolve(undefined));
      socket.on("message", (answer) => {
        if (answer.length < headBytes || answer.readUInt16BE(0) !== number) return;
        answer.writeUInt16BE(question.readUInt16BE(0), 0);
        resolve(answer);
      });
      socket.connect(port, server, () => socket.send(sent, (error) => error && resolve(undefined)));
      socket.once("close", () => {
        clearTimeout(timer);
        open.delete(closer);
      });
    }).finally(() => socket.close());
  }

  /** SERVFAIL (2): the question came, and nobody could answer it. */
  function failed(question: Buffer): Buffer {
    const answer = Buffer.from(question);
    answer.writeUInt16BE(0x8000 | (question.readUInt16BE(2) & 0x7900) | 0x0080 | 2, 2);
    return answer;
  }

  async function answer(question: Buffer, from: RemoteInfo): Promise<void> {
    const isQuestion = question.length >= headBytes && (question.readUInt8(2) & 0x80) === 0;
    if (!isQuestion || asked >= questionsAtOnce || (askedBy.get(from.address) ?? 0) >= questionsOfOne) return;
    count(from.address, 1);
    try {
      let found: Buffer | undefined;
      for (const server of currentServers()) {
        found = await ask(question, server);
        if (found) break;
      }
      if (open.has(listening)) udp.send(found ?? failed(question), from.port, from.address);
    } finally {
      count(from.address, -1);
    }
  }

  function pass(client: Stream): void {
    const server = currentServers()[0];
    if (!server) return void client.destroy();
    const upstream = connect({ host: server, port, timeout: idleMs });
    for (const [side, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(side);
      side.on("error", () => other.destroy()).on("timeout", () => side.destroy());
      side.on("close", () => {
        open.delete(side);
        other.destroy();
      });
      side.pipe(other);
    }
    client.setTimeout(idleMs);
  }

  const udp: Socket = createSocket("udp4");
  const listening = { destroy: () => void udp.close() };
  udp.on("message", (question, from) => void answer(question, from));
  const tcp = createServer(pass);
  tcp.maxConnections = connectionsAtOnce;
  try {
    udp.bind(port, address);
    tcp.listen(port, address);
    await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  } catch (error) {
    tcp.close();
    throw systemError(`listening for names at ${address}`, error);
  }
  udp.on("error", (error) => log.warn({ error: error.message }, "resolver"));
  tcp.on("error", (error) => log.warn({ error: error.message }, "resolver"));
  open.add(listening);
  return {
    [Symbol.dispose]() {
      tcp.close();
      for (const each of [...open]) {
        open.delete(each);
        each.destroy();
      }
    },
  };
}
