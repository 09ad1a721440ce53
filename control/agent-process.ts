// ④⑤ The agent of an embedded pool, as control's child: started again when it dies, ended by closing its stdin.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { systemError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

const firstBackoffMs = 100;
const largestBackoffMs = 5_000;
const healthyMs = 10_000; // lived as long as that: the next death is a new story
const graceMs = 5_000;
const killMs = 2_000;

export interface AgentProcess extends AsyncDisposable {
  /** From now on its end is expected: it is not started again. */
  expectEnd(): void;
}

type Child = ChildProcessByStdio<Writable, null, Readable>;

async function endOf(child: Child): Promise<string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.signalCode ? `was killed by ${child.signalCode}` : `exited ${child.exitCode}`;
}

/** `died` hears each death that nobody asked for, as a sentence with the agent's own last words. */
export function startAgentProcess(argv: string[], died: (sentence: string) => void, log: Log): AgentProcess {
  const stop = new AbortController();
  let child: Child | undefined;

  /** One life; resolves with how it ended. */
  async function live(): Promise<string> {
    child = spawn(argv[0]!, argv.slice(1), { stdio: ["pipe", "ignore", "pipe"] });
    child.stdin.on("error", (error) => log.debug({ error: error.message }, "the agent's stdin closed")); // it died; "exit" says how
    let lastWords = "";
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (line.trim()) lastWords = line.trim();
      log.info({ line }, "agent");
    });
    try {
      await once(child, "spawn");
    } catch (error) {
      return systemError("could not be started", error).sentence;
    }
    const how = await endOf(child);
    return lastWords ? `${how}: ${lastWords}` : how;
  }

  async function keepAlive(): Promise<void> {
    let backoffMs = firstBackoffMs;
    while (!stop.signal.aborted) {
      const begin = performance.now();
      const how = await live();
      if (stop.signal.aborted) return;
      if (performance.now() - begin >= healthyMs) backoffMs = firstBackoffMs;
      log.error({ how, backoffMs }, "the agent ended");
      died(`the node's agent ${how}; it is started again`);
      await delay(backoffMs, undefined, { signal: stop.signal }).catch(() => {}); // rejects only because of `stop`
      backoffMs = Math.min(backoffMs * 2, largestBackoffMs);
    }
  }

  const life = keepAlive();
  return {
    expectEnd: () => stop.abort(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      const last = child;
      if (last && last.exitCode === null && last.signalCode === null && last.pid !== undefined) {
        last.stdin.end();
        const ended = endOf(last);
        const within = (ms: number) => Promise.race([ended.then(() => true), delay(ms, false, { ref: false })]);
        if (!(await within(graceMs))) {
          log.warn("the agent does not end; SIGTERM");
          last.kill("SIGTERM");
          if (!(await within(killMs))) last.kill("SIGKILL");
        }
        await ended;
      }
      await life;
    },
  };
}
