// ⑤⑦ Which messages of an agent count: control says how many of them it has recorded, and the agent says the others again after a reconnect.

import type { AgentMessage } from "./gen/hob/v1/agents.ts";

type Kind = NonNullable<AgentMessage["message"]>["$case"];

/** What is told anew in a hello, or overtaken by the next of its kind, does not count. */
const counts: Record<Kind, boolean> = {
  hello: false,
  sample: false,
  container: false,
  started: false,
  progress: false,
  loaded: true,
  logs: true,
  finished: true,
  child: true,
  cancel: true,
  awaited: true,
  image: true,
  imageStep: true,
  buildLog: true,
  trace: true,
  inputs: true,
  part: true,
  inspected: false,
  unfit: false,
};

export const isKept = (message: { $case: Kind }): boolean => counts[message.$case];
