// A pool on both sides of the bench's link: control beyond it, with an image in its store that no node has; on this side agents that have nothing.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { installRoot } from "../../base/install.ts";
import { openPoolClient } from "../../cli/pool-client.ts";
import { openSqliteEngine } from "../../control/engine/sqlite.ts";
import { createImageRecords } from "../../control/images/records.ts";
import { ImageRef } from "../../proto/gen/hob/v1/common.ts";
import { ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { imageKey } from "../../proto/image.ts";
import { clientCredentials } from "../../proto/transport.ts";
import type { Debian } from "./debian.ts";

/** As functions name it. Nobody asks that registry: control knows what the image is. */
export const reference = "bench.invalid/debian:bench";

const patienceMs = 60_000;
const lookEveryMs = 100;

export interface FarPool extends AsyncDisposable {
  /** Control's address for clients, which are on its side of the link. */
  readonly address: string;
  /** Resolves when the node is ready, with its own image captured. Its end takes all that it has along. */
  startNode(name: string): Promise<AsyncDisposable>;
  /** The trace of the image's first start, once control has it. */
  traced(): Promise<Buffer>;
}

const hob = (args: string[], environment: Record<string, string>) =>
  spawn(join(installRoot, "bin/hob"), args, {
    env: { ...process.env, HOB_NO_SETUP: "1", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + patienceMs; !(await holds()); await after(lookEveryMs))
    if (performance.now() > deadline) throw new Error(`the bench's pool: after ${patienceMs / 1000} s still not ${what}`);
}

/** As if some node had imported the image for the control of that state, and another had started in it where there is a trace. */
async function makeKnown(digest: string, trace: Buffer | undefined, state: string, store: string): Promise<void> {
  using engine = openSqliteEngine(state, store);
  const key = imageKey(ImageRef.fromPartial({ source: "oci", reference }));
  const records = createImageRecords(engine.records, engine.blobs);
  records.keepStep(key, { digest, ms: 0, builtAtMs: Date.now() });
  if (trace) records.keepTrace(digest, await engine.blobs.put(trace));
  engine.commit();
}

/** Where control is to listen, and where that is on this side of the link. */
export interface Sockets {
  socket: string;
  near: string;
}

/** A control of its own, fresh, that knows the image and the trace that is given. */
export async function startFarPool(debian: Debian, { socket, near }: Sockets, trace?: Buffer): Promise<FarPool> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(dirname(debian.store), "pool-")); // where links to the store's files can be
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const state = join(folder, "control");
  const store = join(state, "blobs");
  mkdirSync(state);
  execFileSync("cp", ["-al", debian.store, store]);
  await makeKnown(debian.image, trace, state, store);
  const control = hob(["control", "--listen", socket, "--state", state], {});
  stack.defer(async () => {
    control.kill("SIGTERM");
    await once(control, "exit");
  });
  await once(control.stdout, "data");
  control.stdout.resume();
  const address = `unix:${socket}`;
  const pool = stack.use(openPoolClient(address));
  const content = new ContentClient(address, clientCredentials(address));
  stack.defer(() => content.close());

  async function startNode(name: string): Promise<AsyncDisposable> {
    await using undo = new AsyncDisposableStack();
    const own = join(folder, name);
    const run = mkdtempSync("/run/hob-bench-");
    undo.defer(() => {
      rmSync(own, { recursive: true, force: true });
      rmSync(run, { recursive: true, force: true });
    });
    const folders = {
      XDG_STATE_HOME: join(own, "state"),
      XDG_CACHE_HOME: join(own, "cache"),
      XDG_CONFIG_HOME: join(own, "config"),
    };
    const environment = { ...folders, HOB_RUN_DIR: run, HOB_BACKFILL_MIB: "0" };
    const agent = hob(["agent", "--control", `unix:${near}`, "--name", name], environment);
    agent.stdout.resume();
    undo.defer(async () => {
      agent.kill("SIGTERM");
      await once(agent, "exit");
    });
    await until(`ready: node ${name}`, async () => {
      const node = (await pool.fleet()).nodes.find((candidate) => candidate.name === name);
      return node?.state === "ready" && node.images.some(({ source }) => source === "host");
    });
    return undo.move();
  }

  const life = stack.move();
  return {
    address,
    startNode,
    async traced() {
      let trace: Buffer = Buffer.alloc(0);
      await until("traced", async () => {
        trace = await new Promise<Buffer>((resolve, reject) =>
          content.getTrace({ image: debian.image }, (error, answer) => (error ? reject(error) : resolve(answer.trace))),
        );
        return trace.length > 0;
      });
      return trace;
    },
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}
