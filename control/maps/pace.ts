// ④⑦ How fast maps go while a person calls: what control, agents and processors have to do for them then leaves most of their time free.

/** A person's call counts for so long. */
const attentionMs = 1_000;
/** Of all maps together, meanwhile: a tenth of what two cores can pass on. Functions that take a millisecond or more do not come near it. */
const cutPerMs = 5;
/** As many again: what had been worked on before the person came is to reach its client, too. */
const toldPerMs = 10;
const bytesOfOne = 1 << 10;
/** Of one batch, meanwhile: who waits for its container, or behind its messages, waits for no more. */
export const briefly = { batchMs: 5, inputs: 64 };

export interface Flow {
  /** Until when nothing is to go; in the past where something is. */
  readonly freeAtMs: number;
  /** This went. */
  took(inputs: number, bytes: number): void;
}

export interface Pace {
  /** Whether batches are to be brief and few. */
  readonly gentle: boolean;
  /** Inputs that are cut for containers. */
  readonly cut: Flow;
  /** Results that clients are told. */
  readonly told: Flow;
}

/** `personAtMs`: when a person has called last, by the same clock. */
export function createPace(now: () => number, personAtMs: () => number): Pace {
  const gentle = (): boolean => now() - personAtMs() < attentionMs;
  const flow = (perMs: number): Flow => {
    let freeAtMs = 0;
    return {
      get freeAtMs() {
        return gentle() ? freeAtMs : 0;
      },
      took(inputs, bytes) {
        if (gentle()) freeAtMs = Math.max(freeAtMs, now()) + Math.max(inputs, bytes / bytesOfOne) / perMs;
      },
    };
  };
  return {
    get gentle() {
      return gentle();
    },
    cut: flow(cutPerMs),
    told: flow(toldPerMs),
  };
}
