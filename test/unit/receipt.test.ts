// ③ What a receipt says of a reload, as control answers it.

import { expect, it } from "vitest";
import type { Tier } from "../../project/events.ts";
import { loaded } from "../../project/receipt.ts";
import { Reloaded } from "../../proto/gen/hob/v1/registry.ts";

const said = (asked: Tier, answer: { tier: string; reason?: string }): string => {
  const receipt = {
    ...{ id: 1, state: "shipped" as const, files: ["app.py"], removed: [], snapshot: "s", bytesShipped: 1, ms: {}, savedAtMs: 0 },
    changes: [{ function: "predict", tier: asked, reason: "body changed" }],
  };
  const { changes } = loaded(receipt, 0, Reloaded.fromPartial({ functions: ["predict"], ...answer }), 10);
  return `${changes[0]?.tier}: ${changes[0]?.reason}`;
};

// Seen on an H100: the runner said that the process holds a GPU and goes on, and no receipt showed it, for a patch was what had been asked for.
it("a receipt says why another tier was taken, and why a patch kept what a process holds", () => {
  expect(said("patch", { tier: "patch" })).toBe("patch: body changed");
  expect(said("patch", { tier: "patch", reason: "it holds a GPU and goes on" })).toBe(
    "patch: body changed; it holds a GPU and goes on",
  );
  expect(said("patch", { tier: "fork", reason: "its calls may have kept" })).toBe("fork: body changed; its calls may have kept");
  expect(said("fork", { tier: "fork", reason: "anything" })).toBe("fork: body changed");
});
