// ⑥ What the frames of a failed call hold, asked of its runner: one answer to each question, whatever becomes of the runner.

import type { FrameLocals } from "../../proto/gen/hob/v1/calls.ts";
import type { FrameHeads } from "./frames.ts";
import { text, whole } from "./heard.ts";

/** `reason`: why there are no frames; "" where there are. */
export interface Inspection {
  frames: FrameLocals[];
  reason: string;
}

export interface Inspections {
  ask(call: string): Promise<Inspection>;
  answered(head: FrameHeads["inspected"]): void;
  end(reason: string): void;
}

/** Longer than the runner lets values take that print themselves slowly (_runner/inspecting.py). */
const patienceMs = 4_000;
// As many as the runner tells, and some; this is for one that tells more.
const most = { frames: 40, locals: 80, characters: 1_000 };

const refused = (reason: string): Inspection => ({ frames: [], reason });

export function createInspections(send: (call: string) => void): Inspections {
  const asked = new Map<string, (answer: Inspection) => void>();

  function settle(call: string, answer: Inspection): void {
    asked.get(call)?.(answer);
    asked.delete(call);
  }

  return {
    ask(call) {
      const { promise, resolve } = Promise.withResolvers<Inspection>();
      const late = setTimeout(() => settle(call, refused("its process did not answer")), patienceMs);
      const before = asked.get(call);
      asked.set(call, (answer) => {
        clearTimeout(late);
        before?.(answer);
        resolve(answer);
      });
      if (!before) send(call);
      return promise;
    },
    answered: ({ call, frames, reason }) =>
      settle(
        call,
        Array.isArray(frames) ? { frames: frames.slice(-most.frames).map(bounded), reason: "" } : refused(text(reason)),
      ),
    end(reason) {
      for (const call of [...asked.keys()]) settle(call, refused(reason));
    },
  };
}

function bounded(frame: FrameLocals): FrameLocals {
  const locals = Array.isArray(frame?.locals) ? frame.locals.slice(0, most.locals) : [];
  return {
    file: text(frame?.file),
    line: whole(frame?.line, 2 ** 32 - 1),
    function: text(frame?.function),
    locals: locals.map((local) => ({ name: text(local?.name), value: text(local?.value, most.characters) })),
  };
}
