// ⑦ Whether one more call can be taken: how many are unfinished, of whom, and how much they hold.

import type { HobError } from "../base/errors.ts";
import { argumentBytes, type Call } from "./call.ts";
import { depthOf } from "./family.ts";
import { beyond, type LimitName, type Limits } from "./limits.ts";

export interface Admission {
  /** Why it cannot be taken; nothing is counted then. `parent`: the call that would wait for it. */
  refuse(call: Call, parent: Call | undefined): HobError | undefined;
  enter(call: Call): void;
  leave(call: Call): void;
}

export function createAdmission(limits: Limits): Admission {
  const ofApp = new Map<string, number>();
  let calls = 0;
  let bytes = 0;

  function reached(call: Call, parent: Call | undefined): LimitName | undefined {
    if (calls >= limits.calls) return "calls";
    if ((ofApp.get(call.info.app) ?? 0) >= limits["calls-per-app"]) return "calls-per-app";
    if (bytes + argumentBytes(call.info.arguments) > limits["call-bytes"]) return "call-bytes";
    if (parent && parent.children.size >= limits["children-per-call"]) return "children-per-call";
    if (parent && depthOf({ parent }) > limits["call-depth"]) return "call-depth";
    return undefined;
  }

  function count(call: Call, sign: 1 | -1): void {
    const { app } = call.info;
    const left = (ofApp.get(app) ?? 0) + sign;
    if (left > 0) ofApp.set(app, left);
    else ofApp.delete(app);
    calls += sign;
    bytes += sign * argumentBytes(call.info.arguments);
  }

  return {
    refuse(call, parent) {
      const name = reached(call, parent);
      return name && beyond(limits, name, `${call.info.app}/${call.info.function} was not called`);
    },
    enter: (call) => count(call, 1),
    leave: (call) => count(call, -1),
  };
}
