// ⑥ One row of the tables of deaths: a call that goes wrong, what is heard of it, and that the next call works.

import { expect } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import type { CallFinished, Load } from "../../proto/gen/hob/v1/agents.ts";
import type { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { jsonOf } from "../../proto/large-value.ts";
import { isGap } from "../../proto/lost-output.ts";
import { type AgentUnderTest, callOf } from "./agent-process.ts";

export interface Death {
  name: string;
  /** The function's name and its arguments. */
  call: [string, ...unknown[]];
  timeoutMs?: number;
  /** Once it has said "sleeping". */
  cancel?: boolean;
  /** Of the failure; with several, either is right: which it is depends on who is faster. With neither kind nor result, any outcome is. */
  kind?: string | string[];
  type?: string;
  message?: string | RegExp;
  result?: unknown;
  /** Of a result that is a text. */
  length?: number;
  says?: string | RegExp;
  /** So many bytes: what arrives and what is counted as dropped come to that. */
  prints?: number;
  atLeastMs?: number;
  /** The container does not survive it. */
  ends?: boolean;
  /** Its process is not what it was: it is ended after the next call. */
  ruins?: boolean;
  /** Needs a container with more memory than the others. */
  roomy?: boolean;
  /** In a container of its own from the start: what other calls have left in memory would count. */
  fresh?: boolean;
}

export interface Bench {
  agent: AgentUnderTest;
  /** A container of that kind that nobody uses, waited for. */
  take(row: Death): Promise<{ container: ContainerInfo; loaded: boolean }>;
  give(container: string, row: Death): void;
  load(container: string): Load;
  /** How a function of the table is called. */
  order(row: Death["call"]): { name: string; args: unknown[] };
}

let calls = 0;

export async function die(bench: Bench, row: Death): Promise<void> {
  const { agent } = bench;
  const { container, loaded } = await bench.take(row);
  const load = bench.load(container.id);
  const begin = async (call: Death["call"], withLoad: boolean, timeoutMs = 0): Promise<CallFinished> => {
    const id = (++calls).toString(16).padStart(16, "0");
    const { name, args } = bench.order(call);
    agent.send(callOf(id, load, name, args, { withLoad, timeoutMs }));
    const said = (text: string) =>
      agent.heard("logs", ({ lines }) => lines.some((line) => line.call === id && line.text === text));
    if (row.cancel && call === row.call) {
      await said("sleeping");
      agent.send({ $case: "cancel", value: { call: id } });
    }
    return agent.heard("finished", (value) => value.call === id);
  };
  const beganAtMs = performance.now();
  const finished = await begin(row.call, !loaded, row.timeoutMs);
  judge(row, finished, agent);
  if (row.atLeastMs) expect(performance.now() - beganAtMs).toBeGreaterThan(row.atLeastMs);
  if (row.ends) {
    await agent.heard("container", ({ container: info, gone }) => gone && info?.id === container.id);
    return die(bench, { name: "the next call", call: ["fine"], result: 42 });
  }
  const next = await begin(["fine"], false);
  expect(next.failure, "the next call").toBeUndefined();
  expect(next.result?.json.toString()).toBe("42");
  if (row.ruins) expect((await begin(["exits", 0], false)).failure?.kind).toBe("exit");
  bench.give(container.id, row);
}

/** A result as JSON, also where the agent has left it in the store that it shares with control. */
function textOf({ result }: CallFinished, agent: AgentUnderTest): string {
  const json = result?.large
    ? jsonOf(openContentFolder(agent.options.store, { durable: false }).read(result.large.blob), result.large)
    : result?.json;
  return json?.toString() ?? "";
}

function judge(row: Death, finished: CallFinished, agent: AgentUnderTest): void {
  const { failure, result } = finished;
  if (row.kind !== undefined) {
    expect(failure, `it answered ${result?.json.toString().slice(0, 200)}`).toBeDefined();
    expect([row.kind].flat(), failure?.message).toContain(failure?.kind);
  } else expect(row.result === undefined && row.length === undefined ? undefined : failure).toBeUndefined();
  if (row.type !== undefined) expect(failure?.type).toBe(row.type);
  if (typeof row.message === "string") expect(failure?.message).toBe(row.message);
  else if (row.message) expect(failure?.message).toMatch(row.message);
  if (row.result !== undefined) expect(JSON.parse(textOf(finished, agent))).toEqual(row.result);
  if (row.length !== undefined) expect(JSON.parse(textOf(finished, agent))).toHaveLength(row.length);
  const lines = agent.said.flatMap((message) =>
    message.$case === "logs" ? message.value.lines.filter(({ call }) => call === finished.call) : [],
  );
  if (row.says !== undefined) expect(lines.map(({ text }) => text).join("\n")).toMatch(row.says);
  if (row.prints !== undefined) {
    const bytes = lines.reduce((sum, line) => sum + line.dropped + (isGap(line) ? 0 : line.text.length + 1), 0);
    expect(Math.abs(bytes - row.prints)).toBeLessThanOrEqual(2); // the end of a line that was cut is dropped or not
  }
}
