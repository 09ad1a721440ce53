// The screen on a scripted workbench, for a pseudo-terminal: HOB_STAGE names a recording, HOB_STAGE_CALLS the file that what the screen
// asked for is appended to, HOB_STAGE_FLOOD how many log lines a second the latest call writes (HOB_STAGE_LINES: until so many),
// HOB_STAGE_SAMPLES that the pool's samples go on twice a second ("changing", or all alike), HOB_STAGE_FAULT how it all ends.

import { appendFileSync } from "node:fs";
import { createChannel } from "../../base/channel.ts";
import { HobError } from "../../base/errors.ts";
import type { Workbench, WorkbenchEvent } from "../../project/events.ts";
import { startScreen } from "../../tui/start.tsx";
import { readConfig } from "../../tui/terminal/config-file.ts";
import { readRecording } from "./recording.ts";

const script = readRecording(process.env["HOB_STAGE"] ?? "", process.env["HOB_STAGE_FOLDER"] ?? "");
const channel = createChannel<WorkbenchEvent>(100_000);
const asked = process.env["HOB_STAGE_CALLS"] ?? "/dev/null";

function play(on: (typeof script)[number]["on"]): void {
  for (const line of script) if (line.on === on) channel.offer(line.event);
}

function record(method: string, ...values: unknown[]): void {
  appendFileSync(asked, `${JSON.stringify([method, ...values])}\n`);
}

const workbench: Workbench = {
  events: channel,
  call(app, name, positional, keywords, origin) {
    record("call", app, name, positional, keywords, origin);
    if (positional.length > 3) throw new HobError("usage", `${name} takes at most 3 arguments, not ${positional.length}`);
    play("call");
    return "0000000000000043";
  },
  value: async (value) => value.json,
  cancel(call) {
    record("cancel", call);
    play("cancel");
  },
  inspect: async (call) => {
    record("inspect", call);
    const locals = [
      { name: "path", value: "'cat.png'" },
      { name: "dimensions", value: "512" },
    ];
    return { frames: [{ file: "app.py", line: 12, function: "embed", locals }], reason: "" };
  },
  operations: async () => ({ apps: [], schedules: [] }),
  deploy: (app) => Promise.reject(new HobError("unavailable", `${app}: there is no pool here`)),
  dialMap: (app) => Promise.reject(new HobError("unavailable", `${app}: there is no pool here`)),
  settled: () => Promise.resolve(),
  pin(app, name, positional, keywords) {
    record("pin", app, name, positional, keywords);
    play("pin");
  },
  unpin(app, name) {
    record("unpin", app, name);
  },
  pause(paused) {
    record("pause", paused);
    channel.offer({ kind: "paused", paused });
  },
  async [Symbol.asyncDispose]() {
    channel.close();
  },
};

play("start");

if (process.env["HOB_STAGE_SAMPLES"]) {
  const samples = script.flatMap(({ event }) => (event.kind === "fleet" ? [event.sample] : []));
  const changing = process.env["HOB_STAGE_SAMPLES"] === "changing";
  let next = 0;
  const offer = (timeMs: number): void => {
    const sample = samples[changing ? next++ % samples.length : samples.length - 1]!;
    channel.offer({ kind: "fleet", sample: { ...sample, timeMs } });
  };
  const agoMs = 90_000; // the charts begin full
  for (let timeMs = Date.now() - agoMs; timeMs < Date.now(); timeMs += 500) offer(timeMs);
  setInterval(() => offer(Date.now()), 500).unref();
}

const rate = Number(process.env["HOB_STAGE_FLOOD"] ?? 0);
const mostLines = Number(process.env["HOB_STAGE_LINES"] ?? Number.POSITIVE_INFINITY);
if (rate > 0) {
  const call = script.findLast(({ on, event }) => on === "start" && event.kind === "call")?.event;
  const id = call?.kind === "call" ? call.call.id : "";
  const firstSeq = 1_000;
  let seq = firstSeq;
  setInterval(() => {
    const lines = Array.from({ length: Math.min(rate / 100, mostLines - (seq - firstSeq)) }, () => {
      seq += 1;
      const text = `line ${seq}: ${"some words of output ".repeat((seq % 4) + 1)}`;
      return {
        call: id,
        app: "images",
        function: "embed",
        container: "",
        stream: "stdout",
        timeMs: Date.now(),
        text,
        dropped: 0,
        seq,
      };
    });
    if (lines.length > 0) channel.offer({ kind: "logs", lines });
  }, 10).unref();
}

switch (process.env["HOB_STAGE_FAULT"]) {
  case "throw":
    process.stdin.once("data", () =>
      setImmediate(() => {
        throw new Error("a fault of ours");
      }),
    );
    break;
  case "warn":
    process.stdin.once("data", () => process.emitWarning("a warning of Node's"));
    break;
  case "reject":
    process.stdin.once("data", () => void Promise.reject(new Error("a forgotten promise")));
    break;
  case "draw":
    // A state that cannot be drawn: what a fault in a pane would be.
    process.stdin.once("data", () => channel.offer({ kind: "fleet", sample: {} } as unknown as WorkbenchEvent));
    break;
  case "end":
    process.stdin.once("data", () => channel.close(new HobError("unavailable", "the pool ended", { remedy: "start hob again" })));
    break;
}

try {
  process.exitCode = await startScreen(() => Promise.resolve(workbench), {
    ...{ pool: "local", build: "test", config: readConfig() },
    shell: () => Promise.reject(new Error("this stage has no shells")),
  });
} finally {
  await workbench[Symbol.asyncDispose]();
}
