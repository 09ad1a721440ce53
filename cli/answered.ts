// ⑧ One question to control and its answer, as a promise.

import { type CallOptions, Metadata, type ServiceError } from "@grpc/grpc-js";
import { fromServiceError } from "../proto/status.ts";

type Done<Answer> = (error: ServiceError | null, answer: Answer) => void;

export function answered<Answer>(send: (done: Done<Answer>) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    send((error, answer) => (error ? reject(fromServiceError(error)) : resolve(answer)));
  });
}

/** A question that control does not answer in ten seconds has no answer. */
export const soon = (): [Metadata, CallOptions] => [new Metadata(), { deadline: Date.now() + 10_000 }];
