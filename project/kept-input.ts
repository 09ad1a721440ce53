// An input that is kept, mostly because a call failed with it: what it is, and how it is made of a call. kept-inputs.ts has the files.

import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";

export interface KeptInput {
  readonly app: string;
  readonly function: string;
  readonly positional: unknown[];
  readonly keywords: Record<string, unknown>;
  /** The call that had this input, and how that went: "ValueError: bad shape", or its state. */
  readonly number: number;
  readonly outcome: string;
  readonly version: string;
}

/** The input of a call, of which the arguments are there. */
export function inputOf(call: CallInfo, given: { positional: Buffer; keywords: Buffer }): KeptInput {
  const { app, function: name, number, version, failure, state } = call;
  const read = (json: Buffer, empty: unknown): unknown => (json.length === 0 ? empty : JSON.parse(json.toString("utf8")));
  return {
    ...{ app, function: name, number, version },
    positional: read(given.positional, []) as unknown[],
    keywords: read(given.keywords, {}) as Record<string, unknown>,
    outcome: failure ? [failure.type, failure.message].filter(Boolean).join(": ") : state,
  };
}
