// ⑧ One call as people name it: its number, as in #42, or its id.

import { HobError } from "../base/errors.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { PoolClient } from "./pool-client.ts";

interface Named {
  text: string;
  number: number; // 0: by its id
  id: string;
}

/** Undefined for what is neither. Ids are 16 hex digits: a number of up to 15 digits is none. */
export function callNumberOrId(text: string): Named | undefined {
  const number = /^#?(\d{1,15})$/.exec(text)?.[1];
  if (number !== undefined) return { text, number: Number(number), id: "" };
  return /^[0-9a-f]{16}$/.test(text) ? { text, number: 0, id: text } : undefined;
}

export async function findCall(pool: Pick<PoolClient, "calls">, { text, number, id }: Named): Promise<CallInfo> {
  const [found] = await pool.calls(number > 0 ? { number } : { id });
  if (found) return found;
  throw new HobError("usage", `there is no call ${text}`, { remedy: "`hob calls` lists those that are recorded" });
}
