// ③ Pinned functions: what each is called with after a save that changes it.

import { sentenceOf } from "../base/errors.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import { inlineValueBytes } from "../proto/large-value.ts";
import { checkArguments } from "./arguments.ts";
import { encodeArguments, newCallId } from "./calls.ts";
import type { DescribedFunction } from "./describe/changes.ts";

export interface Pins {
  /** Throws a HobError of kind `usage` for arguments that do not fit. */
  set(described: DescribedFunction, positional: unknown[], keywords: Record<string, unknown>): void;
  delete(app: string, name: string): void;
  /** `key`: APP/FUNCTION */
  has(key: string): boolean;
  /** The call that goes with the function's new version; undefined, with a word of why, when it cannot be made. */
  callOf(described: DescribedFunction): StartCall | undefined;
}

export function createPins(warn: (text: string) => void): Pins {
  const pins = new Map<string, { positional: unknown[]; keywords: Record<string, unknown> }>();
  const keyOf = ({ spec }: DescribedFunction): string => `${spec.app}/${spec.name}`;

  return {
    set(described, positional, keywords) {
      checkArguments(described.spec, positional, keywords);
      pins.set(keyOf(described), { positional, keywords });
    },
    delete: (app, name) => void pins.delete(`${app}/${name}`),
    has: (key) => pins.has(key),
    callOf(described) {
      const { spec, digest } = described;
      const pin = pins.get(keyOf(described));
      if (!pin) return undefined;
      try {
        checkArguments(spec, pin.positional, pin.keywords);
      } catch (error) {
        warn(`the pinned call was not made: ${sentenceOf(error)}`);
        return undefined;
      }
      const given = encodeArguments(pin.positional, pin.keywords);
      if (given.positional.byteLength + given.keywords.byteLength > inlineValueBytes) {
        warn(
          `the pinned call was not made: what ${spec.name} is given is more than ${inlineValueBytes >> 20} MiB: run it by hand`,
        );
        return undefined;
      }
      const names = { app: spec.app, function: spec.name, version: digest };
      return { id: newCallId(), ...names, arguments: given, parent: "", origin: "save" };
    },
  };
}
