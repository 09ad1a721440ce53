// Errors across the wire: one table from our kinds to gRPC status and back.

import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type ErrorKind, HobError, sentenceOf } from "../base/errors.ts";

const codes: Record<ErrorKind, status> = {
  usage: status.INVALID_ARGUMENT,
  function: status.UNKNOWN,
  denied: status.PERMISSION_DENIED,
  notFound: status.NOT_FOUND,
  precondition: status.FAILED_PRECONDITION,
  exhausted: status.RESOURCE_EXHAUSTED,
  corrupt: status.DATA_LOSS,
  unavailable: status.UNAVAILABLE,
  cancelled: status.CANCELLED,
  internal: status.INTERNAL,
};

const kinds = new Map<number, ErrorKind>([
  ...Object.entries(codes).map(([kind, code]) => [code, kind as ErrorKind] as const),
  [status.UNAUTHENTICATED, "denied"],
]);

export function toServiceError(error: unknown): ServiceError {
  const kind = error instanceof HobError ? error.kind : "internal";
  const sentence = sentenceOf(error);
  return Object.assign(new Error(sentence), { code: codes[kind], details: sentence, metadata: new Metadata() });
}

/** What gRPC says of a stream whose other end went before it had said how it ends: an internal error, by its code. */
const cutOff = /^Received RST_STREAM/;

/** A HobError for what a gRPC call failed with; other errors pass unchanged. */
export function fromServiceError(error: unknown): unknown {
  if (error instanceof HobError || !(error instanceof Error) || !("code" in error) || typeof error.code !== "number")
    return error;
  const details = "details" in error && typeof error.details === "string" && error.details ? error.details : error.message;
  if (error.code === status.INTERNAL && cutOff.test(details))
    return new HobError("unavailable", "the other end went away in the middle", { cause: error });
  return new HobError(kinds.get(error.code) ?? "internal", details, { cause: error });
}
