// A crowd at the gateway's door, in a process of its own so that it takes no turn of the one that measures: connections that have had an answer and
// say nothing more, and such as send a byte of their body a second, each at a moment of its own.

import { fork } from "node:child_process";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Target } from "./gateway-asker.ts";

export const idle = 10_000;
export const slow = 1_000;
const atOnce = 250;
const stepMs = 10;
const slowEveryMs = 1_000;
/** Who has been sent away comes again after so long. */
const againMs = 100;
const slowEach = (slow * stepMs) / slowEveryMs;

interface Crowd {
  /** How many are connected now. */
  present(): Promise<number>;
  leave(): void;
}

/** All are connected, and the idle ones have been answered, when it resolves. */
export async function startCrowd(target: Target): Promise<Crowd> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(target)], { execArgv: [] });
  const heard = async (): Promise<number> => {
    const [message] = await Promise.race([once(child, "message"), once(child, "exit")]);
    if (child.exitCode !== null) throw new Error(`the crowd ended with ${child.exitCode}`);
    return message as number;
  };
  await heard();
  return {
    async present() {
      const told = heard();
      child.send("how many?");
      return told;
    },
    leave: () => void child.kill(),
  };
}

interface Place {
  /** What it says when it has connected. */
  head: string;
  /** It has arrived once this much has come back. */
  answer: "one" | "none";
}

async function crowd({ host, port, path }: Target): Promise<void> {
  const present = new Set<Socket>();
  const slowly = new Set<Socket>();

  /** Resolves once it has arrived. Who is sent away comes again: the gateway ends what has been silent for long. */
  function come({ head, answer }: Place): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = createConnection(port, host, () => {
      socket.write(`${head}\r\nhost: ${host}:${port}\r\n${answer === "one" ? "" : "content-length: 9000\r\n"}\r\n`);
      if (answer === "none") arrive();
    });
    const arrive = (): void => {
      present.add(socket);
      if (answer === "none") slowly.add(socket);
      resolve();
    };
    socket.once("data", answer === "one" ? arrive : () => {}).resume();
    socket.on("error", ({ message }) => process.stderr.write(`the crowd: ${message}\n`)); // its close follows
    socket.once("close", () => {
      present.delete(socket);
      slowly.delete(socket);
      setTimeout(() => void come({ head, answer }).then(resolve), againMs);
    });
    return promise;
  }

  const silent: Place = { head: "GET /healthz HTTP/1.1", answer: "one" };
  for (let n = 0; n < idle; n += atOnce) await Promise.all(Array.from({ length: atOnce }, () => come(silent)));
  for (let n = 0; n < slow; n += atOnce)
    await Promise.all(Array.from({ length: atOnce }, () => come({ head: `POST ${path} HTTP/1.1`, answer: "none" })));
  let speaking = slowly.values();
  setInterval(() => {
    for (let n = 0; n < slowEach; n++) {
      const { value } = speaking.next();
      if (value) value.write("x");
      else speaking = slowly.values();
    }
  }, stepMs);
  process.on("message", () => process.send!(present.size));
  process.send!(present.size);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await crowd(JSON.parse(process.argv[2]!) as Target);
