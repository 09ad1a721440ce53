// ③ Arguments that are too large for a message are put into control's store before their call is sent; large results are fetched from there.

import { sha256 } from "../base/content-folder.ts";
import { HobError } from "../base/errors.ts";
import { type Arguments, LargeValue, type Value } from "../proto/gen/hob/v1/common.ts";
import type { BlobPiece, ContentClient } from "../proto/gen/hob/v1/content.ts";
import type { StartCall } from "../proto/gen/hob/v1/registry.ts";
import { greatestCallValueBytes, headOf, inlineValueBytes, jsonOf, oversized } from "../proto/large-value.ts";
import { fromServiceError } from "../proto/status.ts";
import { putBlobs } from "./content.ts";

export interface LargeArguments {
  /** The call as it may be sent now; undefined while its arguments are on their way to control. */
  ready(call: StartCall): StartCall | undefined;
  /** Control has the call, or nobody wants it any more. */
  forget(call: string): void;
}

interface LargeArgumentsHost {
  /** Throws where there is no connection. */
  content(): ContentClient;
  /** What was on its way has arrived: the call may be sent. */
  arrived(): void;
  /** It cannot be had there, whatever the connection. */
  failed(call: StartCall, error: HobError): void;
}

const bytesOf = ({ positional, keywords }: Arguments): number => positional.byteLength + keywords.byteLength;

/** Throws a HobError of kind `usage` for arguments that no call may have. */
export function checkSize(name: string, given: Arguments): void {
  const bytes = bytesOf(given);
  if (bytes > greatestCallValueBytes)
    throw new HobError("usage", oversized(`${name}: what it is given`, bytes, "pass a file's path, or less"));
}

export function createLargeArguments(host: LargeArgumentsHost): LargeArguments {
  const calls = new Map<string, StartCall | "on its way">();

  async function put(call: StartCall, given: Arguments): Promise<void> {
    const blob = Buffer.concat([headOf(call.id), given.positional, given.keywords]);
    const digest = sha256(blob);
    try {
      await putBlobs(host.content(), [digest], () => [blob]);
    } catch (error) {
      calls.delete(call.id);
      if (error instanceof HobError && error.kind === "unavailable") return; // tried again with the next connection
      host.failed(call, error instanceof HobError ? error : new HobError("internal", String(error)));
      return;
    }
    if (!calls.has(call.id)) return;
    const large = LargeValue.create({ blob: digest, bytes: bytesOf(given), positional: given.positional.byteLength });
    calls.set(call.id, { ...call, arguments: { positional: Buffer.alloc(0), keywords: Buffer.alloc(0), large } });
    host.arrived();
  }

  return {
    ready(call) {
      const given = call.arguments;
      if (!given || bytesOf(given) <= inlineValueBytes) return call;
      const known = calls.get(call.id);
      if (known === undefined) {
        calls.set(call.id, "on its way");
        void put(call, given);
      }
      return typeof known === "object" ? known : undefined;
    },
    forget: (call) => void calls.delete(call),
  };
}

/** The value's JSON, from the message or from control's store. Throws a HobError: `notFound` when it is not kept any more. */
export async function fetchValue(client: ContentClient, { json, large }: Value): Promise<Buffer> {
  if (!large) return json;
  const pieces: Buffer[] = [];
  try {
    for await (const piece of client.get({ digests: [large.blob] })) pieces.push((piece as BlobPiece).data);
  } catch (error) {
    throw fromServiceError(error);
  }
  return jsonOf(Buffer.concat(pieces), large);
}
