// ⑧ `hob call`: one call of a function that the pool has, without its project.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { checkArguments } from "../project/arguments.ts";
import { openPoolCaller, type PoolCaller } from "../project/pool-caller.ts";
import { isDeployment } from "../proto/app-name.ts";
import type { FunctionSpec } from "../proto/gen/hob/v1/common.ts";
import { buildId } from "./build.ts";
import { runningControl } from "./control-address.ts";
import { interruptSignal } from "./interrupt.ts";
import { oneArray, parseKeywords } from "./json-argument.ts";
import { parseTarget, requireKnown, type Target } from "./names.ts";
import { printOutcome } from "./outcome.ts";

interface CallFlags {
  control?: string;
  json?: boolean;
}

/** The arguments of a call. */
export interface Given {
  positional: unknown[];
  keywords: Record<string, unknown>;
}

/** A control that was killed is there again in a second or two. */
const patienceMs = 20_000;

export function addCall(program: Command): void {
  program
    .command("call")
    .description("call a function that the pool has, by its name; its output on stderr, its result as JSON on stdout")
    .argument("<target>", "APP/FUNCTION")
    .argument("[arguments...]", "a JSON array")
    .option("--kwargs <json>", "keyword arguments, a JSON object")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "the outcome with its version and times as one JSON object")
    .allowUnknownOption()
    .addHelpText("after", "\nExample:\n  hob call images/embed '[\"cat.jpg\"]'\n")
    .action(call);
}

async function call(text: string, rest: string[], flags: CallFlags & { kwargs?: string }): Promise<void> {
  const target = parseTarget(text);
  if (target.function === "")
    throw new HobError("usage", `"${text}" names an app and no function`, { remedy: "write APP/FUNCTION" });
  await callNow(target, { positional: oneArray(rest), keywords: parseKeywords(flags.kwargs, "--kwargs") }, flags);
}

/** Calls the function as the pool has it now, and prints its output and outcome; sets the exit code. */
export async function callNow(target: { app: string; function: string }, given: Given, flags: CallFlags): Promise<void> {
  const address = await runningControl(flags.control);
  const [{ openPoolClient }, { silentLog }] = await Promise.all([import("./pool-client.ts"), import("../base/log.ts")]);
  using pool = openPoolClient(address);
  const reference = isDeployment(target.app) ? target.app : await checkedReference(pool, target, given);
  using interrupt = interruptSignal();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {}); // unless it is waited for
  let patience: NodeJS.Timeout | undefined;
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  await using caller: PoolCaller = openPoolCaller({
    ...{ client: "call", build: buildId(), log: silentLog, connect: async () => address },
    progress: (news) => retryLine(news, say),
    output: (lines) => lines.forEach((line) => void say(line.text)),
    notice: (sentence) => say(`hob: ${sentence}`),
    link(state, detail) {
      clearTimeout(patience);
      if (state === "live") return;
      if (state === "lost") say(`hob: the connection to control is lost: ${detail}`);
      patience = setTimeout(() => lost.reject(new HobError("unavailable", `no connection to control: ${detail}`)), patienceMs);
    },
  });
  try {
    const { id, finished } = caller.call(reference, target.function, given);
    interrupt.signal.addEventListener("abort", () => caller.cancel(id), { once: true });
    printOutcome(await Promise.race([finished, lost.promise]), flags.json ?? false);
  } finally {
    clearTimeout(patience);
  }
}

/** What is live goes before what was published last. */
async function checkedReference(
  pool: Parameters<typeof specOf>[0],
  target: Target,
  given: { positional: unknown[]; keywords: Record<string, unknown> },
): Promise<string> {
  const spec = await specOf(pool, target);
  checkArguments(spec, given.positional, given.keywords);
  return spec.app === target.app ? target.app : `${target.app}@live`;
}

async function specOf(
  pool: { functions(app: string): Promise<{ function: string; spec: FunctionSpec | undefined }[]> },
  target: { app: string; function: string },
): Promise<FunctionSpec> {
  const versions = await pool.functions("");
  const live = versions.find(({ spec }) => spec?.app.startsWith(`${target.app}@`))?.spec; // listed as APP@3
  const app = live?.app ?? target.app;
  requireKnown(
    { ...target, app },
    versions.map((version) => ({ app: version.spec?.app ?? "", function: version.function })),
  );
  const found = versions.find(({ spec, function: name }) => spec?.app === app && name === target.function)?.spec;
  if (!found) throw new HobError("notFound", `${target.app}/${target.function} was removed a moment ago`);
  return found;
}

function retryLine(
  {
    state,
    againAtMs,
    attempt,
    number,
    function: name,
    attempts,
  }: Parameters<Parameters<typeof openPoolCaller>[0]["progress"]>[0],
  say: (line: string) => void,
): void {
  const waitMs = againAtMs - Date.now();
  if (state !== "queued" || againAtMs === 0 || waitMs < 0) return;
  say(`hob: #${number} ${name}: attempt ${attempt} failed (${attempts.at(-1)?.message}), again in ${Math.ceil(waitMs / 1000)} s`);
}
