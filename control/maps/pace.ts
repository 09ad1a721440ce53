// ④⑦ How fast maps go while a person calls: what control, agents and processors have to do for them then leaves most of their time free.

/** A person's call counts for so long. */
const attentionMs = 1_000;
/** Of all maps together, meanwhile: a sixth of what two cores can pass on. Functions that take a millisecond or more do not come near it. */
const inputsPerMs = 10;
const bytesPerMs = 10 << 10;
/** Of one batch, meanwhile: who waits for its container, or behind its messages, waits for no more. */
export const briefly = { batchMs: 5, inputs: 64 };

export interface Pace {
  /** Whether batches are to be brief and few. */
  readonly gentle: boolean;
  /** Until when nothing is to be cut; in the past where something is. */
  readonly freeAtMs: number;
  /** This was cut. */
  took(inputs: number, bytes: number): void;
}

/** `personAtMs`: when a person has called last, by the same clock. */
export function createPace(now: () => number, personAtMs: () => number): Pace {
  let freeAtMs = 0;
  const gentle = (): boolean => now() - personAtMs() < attentionMs;
  return {
    get gentle() {
      return gentle();
    },
    get freeAtMs() {
      return gentle() ? freeAtMs : 0;
    },
    took(inputs, bytes) {
      if (!gentle()) return;
      freeAtMs = Math.max(freeAtMs, now()) + Math.max(inputs / inputsPerMs, bytes / bytesPerMs);
    },
  };
}
