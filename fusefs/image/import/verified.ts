// ⑤ Passes a stream on and says at its end whether it was what its descriptor promised.

import { createHash } from "node:crypto";
import { HobError } from "../../../base/errors.ts";
import type { Descriptor } from "./oci.ts";

function mismatch(what: string, promised: string, found: string): HobError {
  return new HobError("corrupt", `${what} is not what its digest says: ${found} instead of ${promised}`, {
    remedy: "something on the way has altered it; try again, and if that fails, push the image again",
  });
}

/** HobError `corrupt` once more bytes come than were promised, or at the end, for another digest. */
export async function* verified(
  stream: AsyncIterable<Uint8Array>,
  { digest, size }: Descriptor,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.byteLength;
    if (bytes > size) throw mismatch(what, `${size} bytes`, "more");
    hash.update(piece);
    yield piece;
  }
  if (bytes !== size) throw mismatch(what, `${size} bytes`, `${bytes} bytes`);
  const found = hash.digest("hex");
  if (found !== digest) throw mismatch(what, `sha256 ${digest.slice(0, 12)}`, `sha256 ${found.slice(0, 12)}`);
}

/** A small document whole. */
export async function verifiedDocument(stream: AsyncIterable<Uint8Array>, descriptor: Descriptor, what: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of verified(stream, descriptor, what)) parts.push(piece);
  return Buffer.concat(parts);
}
