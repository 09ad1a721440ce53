// A project and a control's double for each test of the workbench, and the workbench's events as they come.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { silentLog } from "../../base/log.ts";
import type { Receipt, Workbench, WorkbenchEvent } from "../../project/events.ts";
import { openWorkbench } from "../../project/workbench.ts";
import { type ControlDouble, startControlDouble } from "./control-double.ts";

export const app = `import hob
import helpers
app = hob.App("images")

@app.function()
def embed(path: str, width: int = 64) -> list:
    return [helpers.clean(path), width]

@app.function()
def other(x):
    return x
`;

export let base: string;
export let root: string;
export let control: ControlDouble;
export let bench: Workbench;
export let events: WorkbenchEvent[];
let waiting: (() => void)[] = [];
export let connects: number;
export let ended: Promise<void>;

export const put = (path: string, text: string | Buffer): void => {
  writeFileSync(join(root, `${path}.part~`), text);
  renameSync(join(root, `${path}.part~`), join(root, path));
};

/** `connected`: control is reached only then. */
export async function open(connected: Promise<void> = Promise.resolve()): Promise<void> {
  events = [];
  waiting = [];
  connects = 0;
  bench = await openWorkbench({
    root,
    connect: async () => {
      connects++;
      await connected;
      return control.address;
    },
    build: "test",
    client: "test",
    log: silentLog,
  });
  ended = (async () => {
    for await (const event of bench.events) {
      events.push(event);
      for (const look of waiting.splice(0)) look();
    }
  })();
}

/** The first event that `test` takes, among those that have come and those that come. */
export async function event<Found>(test: (event: WorkbenchEvent) => Found | undefined | false): Promise<Found> {
  for (;;) {
    for (const candidate of events) {
      const found = test(candidate);
      if (found) return found;
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}

export const receiptIn = (state: Receipt["state"]) => (candidate: WorkbenchEvent) =>
  candidate.kind === "receipt" && candidate.receipt.state === state && candidate.receipt;
export const finished = (candidate: WorkbenchEvent) =>
  candidate.kind === "call" && candidate.call.state === "succeeded" && candidate;

/** Live, and everything published. */
export async function ready(): Promise<void> {
  await event((candidate) => candidate.kind === "project" && candidate.functions.length === 2);
  const id = bench.call("images", "other", [0], {}, "cli"); // goes once control has the code
  await event((candidate) => finished(candidate) && candidate.kind === "call" && candidate.call.id === id && candidate);
  events.length = 0;
  control.publishes.length = 0;
}

/** The one of before, if there was one, has ended. */
export async function startControl(): Promise<void> {
  control = await startControlDouble(join(base, "control.sock"));
}

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), "hob-bench-"));
  root = join(base, "project");
  mkdirSync(root);
  put("app.py", app);
  put("helpers.py", "def clean(x):\n    return x\n");
  await startControl();
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
  await ended;
  await control[Symbol.asyncDispose]();
  rmSync(base, { recursive: true, force: true });
});
