// Deploying under a hundred requests a second, on a real pool and through the real gateway: four versions and a rollback, by the commands that a person
// types. Counted are requests that fail, and such as are answered by a version that nobody promoted; each answer names its digest and says what ran.

import { execFile } from "node:child_process";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as after } from "node:timers/promises";
import { promisify } from "node:util";
import { installRoot } from "../base/install.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const everyMs = 10;
const aroundMs = 1_500; // before, between and after the switches
const run = promisify(execFile);

interface Scene {
  project: string;
  environment: Record<string, string>;
  /** "http://127.0.0.1:PORT/APP@live/PATH" */
  url: string;
  /** Writes the file of this version, and resolves once it is in place for who edits. */
  save(version: string): Promise<void>;
}

interface Answer {
  status: number;
  digest: string;
  ran: string;
  ms: number;
}

interface Promoted {
  functions: { version: string; image: string }[];
}

async function hob({ environment }: Scene, ...args: string[]): Promise<Promoted> {
  const { stdout } = await run(join(installRoot, "bin/hob"), [...args, "--json"], { env: { ...process.env, ...environment } });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Promoted;
}

const appOf = ({ url }: Scene): string => new URL(url).pathname.split("@")[0]!.slice(1);

function ask(url: string, agent: Agent): Promise<Answer> {
  const begin = performance.now();
  return new Promise((resolve) => {
    const failed = (): void => resolve({ status: 0, digest: "", ran: "", ms: performance.now() - begin });
    get(url, { agent }, async (response) => {
      const ran = await text(response).catch(() => "");
      const { statusCode: status = 0, headers } = response;
      resolve({ status, digest: String(headers["hob-version"]), ran, ms: performance.now() - begin });
    }).on("error", failed);
  });
}

export async function deployUnderLoad(scene: Scene, say: (text: string) => void): Promise<Row[]> {
  const promoted = new Map<string, string>(); // digest → what it answers
  async function deploy(version: string): Promise<void> {
    await scene.save(version);
    const { functions } = await hob(scene, "deploy", scene.project, "--app", appOf(scene));
    promoted.set(functions[0]!.version, version);
    say(`gateway: ${version} is live`);
  }
  await deploy("v1");
  const agent = new Agent({ keepAlive: true });
  const stop = new AbortController();
  const answers: Promise<Answer>[] = [];
  const asking = (async () => {
    for (let next = performance.now(); !stop.signal.aborted; next += everyMs) {
      answers.push(ask(scene.url, agent));
      await after(Math.max(0, next + everyMs - performance.now()));
    }
  })();
  try {
    for (const version of ["v2", "v3", "v4"]) {
      await after(aroundMs);
      await deploy(version);
    }
    await scene.save("never promoted");
    await after(aroundMs);
    await hob(scene, "rollback", appOf(scene));
    await after(aroundMs);
  } finally {
    stop.abort();
    await asking;
  }
  const all = await Promise.all(answers);
  agent.destroy();
  const failed = all.filter(({ status }) => status !== 200);
  const wrong = all.filter(({ status, digest, ran }) => status === 200 && promoted.get(digest) !== ran);
  for (const { status, ran } of failed.slice(0, 3)) say(`gateway: a request was answered with ${status}: ${ran.slice(0, 200)}`);
  const seen = [...new Set(all.map(({ ran }) => ran))].join(", ");
  say(`gateway: ${all.length} requests at a hundred a second, answered by ${seen}`);
  const base = { bench: "gateway", row: "deploy-under-load", unit: "requests", stat: "total" } as const;
  return [
    makeRow({ ...base, of: "failed", value: failed.length }, { atMost: 0 }),
    makeRow({ ...base, of: "by a version that nobody promoted", value: wrong.length }, { atMost: 0 }),
    makeRow({
      ...base,
      of: `${all.length} requests`,
      stat: "p99",
      unit: "ms",
      value: quantile(
        all.map(({ ms }) => ms),
        0.99,
      ),
    }),
  ];
}
