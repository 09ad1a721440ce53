// ⑦ What the frames of a failed call hold: asked of the node whose container ran it, answered once, without the values of secrets.

import type { Inspected } from "../proto/gen/hob/v1/agents.ts";
import type { CallInfo, CallsServer, FrameLocals, InspectResponse } from "../proto/gen/hob/v1/calls.ts";
import type { Nodes } from "./nodes.ts";
import type { Redaction } from "./redaction.ts";

/** Longer than an agent waits for its runner (agent/runner/inspections.ts). */
const patienceMs = 6_000;

/** Origins of calls that a person waits for: should they fail, their frames are kept. */
const persons: ReadonlySet<string> = new Set(["save", "key", "cli"]);
export const isPersons = ({ origin, parent }: Pick<CallInfo, "origin" | "parent">): boolean =>
  parent === "" && persons.has(origin);

export interface Inspections {
  readonly serve: CallsServer["inspect"];
  answered(inspected: Inspected): void;
}

interface InspectionsParts {
  find(id: string): CallInfo | undefined;
  nodes: Pick<Nodes, "all">;
  redaction: Pick<Redaction, "of">;
}

export function createInspections({ find, nodes, redaction }: InspectionsParts): Inspections {
  const waiting = new Map<string, ((answer: InspectResponse) => void)[]>(); // by call

  function settle(call: string, answer: InspectResponse): void {
    const told = waiting.get(call) ?? [];
    waiting.delete(call);
    for (const tell of told) tell(answer);
  }

  function ask({ id: call, container, node: name }: CallInfo): string | undefined {
    const node = nodes.all.get(name);
    if (!node?.containers.has(container)) return "its container has ended";
    node.send({ $case: "inspect", value: { call, container } });
    return undefined;
  }

  return {
    serve({ request: { call } }, callback) {
      const refuse = (reason: string): void => callback(null, { frames: [], reason });
      const info = find(call);
      if (!info) return refuse("this call is not known any more");
      if (info.state !== "failed") return refuse("it has not failed");
      if (!isPersons(info)) return refuse("variables are kept of calls that a person or a save has started");
      const others = waiting.get(call);
      const problem = others ? undefined : ask(info);
      if (problem) return refuse(problem);
      const late = setTimeout(() => settle(call, { frames: [], reason: `node ${info.node} did not answer` }), patienceMs);
      const tell = ({ frames, reason }: InspectResponse): void => {
        clearTimeout(late);
        callback(null, { frames: cleaned(frames, redaction.of(info.app)), reason });
      };
      waiting.set(call, [...(others ?? []), tell]);
    },
    answered: ({ call, frames, reason }) => settle(call, { frames, reason }),
  };
}

function cleaned(frames: FrameLocals[], clean: ((text: string) => string) | undefined): FrameLocals[] {
  if (!clean) return frames;
  const value = (local: FrameLocals["locals"][number]) => ({ ...local, value: clean(local.value) });
  return frames.map((frame) => ({ ...frame, locals: frame.locals.map(value) }));
}
