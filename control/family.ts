// ⑦ Calls that functions make: who waits for whom. A parent that waits counts as blocked, so that a pool full of parents has room for their children.

import type { Call } from "./call.ts";

const isBlocked = (call: Call): boolean => call.children.size > 0 && call.info.state === "running";

/** From now on `parent` waits for the call. */
export function attach(call: Call, parent: Call | undefined): void {
  if (!parent) return;
  call.parent = parent;
  parent.children.add(call);
  if (parent.children.size === 1 && isBlocked(parent) && parent.group) parent.group.blocked++;
}

export function detach(call: Call): void {
  const { parent } = call;
  const blocked = parent !== undefined && isBlocked(parent);
  if (!parent?.children.delete(call)) return;
  call.parent = undefined;
  if (blocked && parent.children.size === 0 && parent.group) parent.group.blocked--;
}

/** How many calls wait for this one, each for the next. */
export function depthOf(call: { parent: Call | undefined }): number {
  let depth = 0;
  for (let above = call.parent; above; above = above.parent) depth++;
  return depth;
}
