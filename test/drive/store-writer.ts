// A process that writes into a store in every way until it is killed. Arguments: the store, a number that makes its contents its own.

import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { openPartialBlobs, pieceBytesOf } from "../../base/partial-blob.ts";
import { openLease } from "../../base/store-work.ts";
import { storeContent } from "../../fusefs/image/chunks.ts";

const [root = "", number = ""] = process.argv.slice(2);
const store = openContentFolder(root, { durable: Number(number) % 20 === 0 });
const partial = await openPartialBlobs(store, { durable: false });
const pieceBytes = pieceBytesOf(0);
const noise = (bytes: number, seed: string): Buffer => createHash("shake256", { outputLength: bytes }).update(seed).digest();

/** A byte for each blob that is there. */
const tell = (): void => void writeSync(1, ".");

for (let round = 0; ; round++) {
  using lease = openLease(root);
  const seed = `${number}.${round}`;
  const small = Array.from({ length: 20 }, (_, index) => store.put(noise(1000 + index * 500, `${seed}.${index}`)));
  const large = noise(300_000, seed);
  const streamed = storeContent(store, [large, Buffer.alloc(200_000), large]);
  await Promise.all([...small, store.put(Buffer.from("everybody's")), streamed].map((put: Promise<unknown>) => put.then(tell)));
  const whole = Buffer.concat([noise(1 << 16, `${seed}.pieces`), Buffer.alloc(pieceBytes)]);
  const blob = { digest: sha256(whole), size: whole.length };
  await Promise.all(
    [0, 1].map((piece) => partial.put(blob, piece, whole.subarray(piece * pieceBytes, (piece + 1) * pieceBytes))),
  );
  lease.note(blob.digest);
  lease.done();
}
