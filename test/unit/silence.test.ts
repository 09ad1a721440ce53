// ④ When a node counts as silent, and what an agent may say of its machine.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { implausible } from "../../control/plausible.ts";
import { createSilence, type Heard, lookEveryMs, networkPatienceMs } from "../../control/silence.ts";
import { NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";

const link = (received: () => number): Heard => ({ patienceMs: networkPatienceMs, heardAtMs: 0, bytes: 0, received });

describe("silence", () => {
  it("is noticed within 5 s of the last message, and never while messages come", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3_900 }), { minLength: 1, maxLength: 20 }), (gapsMs) => {
        const one = link(() => Number.NaN);
        const silence = createSilence(0);
        const messages = gapsMs.map((_, index) => gapsMs.slice(0, index + 1).reduce((sum, gap) => sum + gap, 0));
        const last = messages.at(-1)!;
        for (let now = lookEveryMs; ; now += lookEveryMs) {
          for (const at of messages) if (at <= now) one.heardAtMs = at;
          const found = silence.look([one], now).length > 0;
          if (now <= last + networkPatienceMs) expect(found).toBe(false);
          if (!found) continue;
          expect(now - last).toBeLessThan(5_000);
          return;
        }
      }),
    );
  });

  it("is not that of a large message on a slow line, whose bytes come; pings alone do not count", () => {
    let bytes = 0;
    const slow = link(() => bytes);
    const pinging = link(() => bytes / 100);
    const silence = createSilence(0);
    const lost: Heard[] = [];
    for (let now = lookEveryMs; now <= 20_000; now += lookEveryMs) {
      bytes += 10_000;
      lost.push(...silence.look([slow, pinging], now));
    }
    expect(lost).toContain(pinging);
    expect(lost).not.toContain(slow);
  });

  it("is nobody's when control itself did not listen for a while", () => {
    const one = link(() => Number.NaN);
    const silence = createSilence(0);
    silence.look([one], lookEveryMs);
    expect(silence.look([one], 60_000)).toEqual([]);
    expect(silence.look([one], 60_000 + lookEveryMs)).toEqual([]);
  });
});

describe("what an agent says of its machine", () => {
  it.each([
    [{ cores: 128, memoryBytes: 2 ** 42, memoryUsedBytes: 2 ** 41 }, undefined],
    [{}, undefined],
    [{ cores: 1_000_000 }, "it says that it has 1000000 cores"],
    [{ memoryBytes: 2 ** 50 }, "it says that it has 1024 TiB of memory"],
    [{ memoryBytes: 1_000, memoryUsedBytes: 3_000 }, "it says that it uses more memory than it has"],
    [{ containers: Array.from({ length: 5_000 }, () => ({})) }, "it says that it runs 5000 containers"],
  ])("%j", (said, why) => {
    expect(implausible(NodeInfo.fromPartial(said))).toBe(why);
  });
});
