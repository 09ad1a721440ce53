// ⑦ What a client sends becomes blocks: cut between inputs, so that one is read, cut and sent as one piece. Pure, but for what it holds.

import { HobError } from "../../base/errors.ts";
import type { InputBlock } from "../engine/engine.ts";
import { eachItem } from "./items.ts";
import { blockBytes, blockInputs } from "./sizes.ts";

export interface Intake {
  /** Index of the input that is wanted next. */
  readonly wanted: number;
  /** Takes those from the wanted one on, passes over those before it, and throws for a gap and for what is beyond `until`. */
  add(bytes: Uint8Array, until: number): void;
  /** What has come and is no whole block yet becomes one. */
  flush(): void;
}

/** `keep` is given each block. */
export function createIntake(wanted: number, keep: (block: InputBlock, bytes: Uint8Array) => void): Intake {
  let slices: Uint8Array[] = [];
  let first = wanted;
  let held = 0; // bytes

  function flush(): void {
    if (slices.length === 0) return;
    keep({ first, count: wanted - first }, slices.length === 1 ? slices[0]! : Buffer.concat(slices));
    slices = [];
    first = wanted;
    held = 0;
  }

  return {
    get wanted() {
      return wanted;
    },
    flush,
    add(bytes, until) {
      let from = -1; // where what is taken begins
      const take = (to: number) => {
        if (from >= 0 && to > from) slices.push(bytes.subarray(from, to));
        from = -1;
      };
      eachItem(bytes, "inputs", (index, start, end) => {
        if (index < wanted) return;
        if (index > wanted) {
          throw new HobError("usage", `input ${index} of a map came where ${wanted} is wanted: inputs are sent in order`);
        }
        if (index >= until) {
          throw new HobError("exhausted", `input ${index} of a map was sent before control had room for it (until ${until})`, {
            remedy: "send as many as its credit says",
          });
        }
        if (held > 0 && (wanted - first >= blockInputs || held + end - start > blockBytes)) {
          take(start);
          flush();
        }
        if (from < 0) from = start;
        wanted++;
        held += end - start;
      });
      take(bytes.byteLength);
    },
  };
}
