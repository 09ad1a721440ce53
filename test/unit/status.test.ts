// Errors across the wire: what clients go on after, and what they give up for.

import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { HobError } from "../../base/errors.ts";
import { fromServiceError, toServiceError } from "../../proto/status.ts";

const failed = (code: number, details: string): Error => Object.assign(new Error(details), { code, details });

test("each kind of error comes back as it went, with its sentence", () => {
  for (const kind of ["usage", "denied", "notFound", "precondition", "exhausted", "unavailable", "internal"] as const) {
    const sent = toServiceError(new HobError(kind, "it failed", { remedy: "do something" }));
    expect(fromServiceError(sent)).toMatchObject({ kind, message: "it failed: do something" });
  }
});

// In the field: control had lost the pool in the middle of a map on NATS, and its client ended with this instead of connecting again.
test("a stream that is cut off in the middle is an end that is unavailable: who has it connects again", () => {
  const cut = failed(status.INTERNAL, "Received RST_STREAM with code 0 (Call ended without gRPC status)");
  expect(fromServiceError(cut)).toMatchObject({ kind: "unavailable" });
  expect(fromServiceError(failed(status.INTERNAL, "a bug of ours"))).toMatchObject({
    kind: "internal",
    message: "a bug of ours",
  });
});
