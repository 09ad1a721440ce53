// ⑤ What control has of a node's blobs: what it lacks, nobody else may have.

import { Metadata } from "@grpc/grpc-js";
import type { Digest } from "../../base/content-folder.ts";
import type { ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../../proto/status.ts";

const askedAtOnce = 5_000; // digests: 330 KB of a message
const patienceMs = 30_000;

/** Fails where control cannot be reached: then nothing is known. */
export async function missingAt(client: Pick<ContentClient, "missing">, digests: readonly Digest[]): Promise<Digest[]> {
  const missing: Digest[] = [];
  for (let at = 0; at < digests.length; at += askedAtOnce) {
    const asked = digests.slice(at, at + askedAtOnce);
    const answer = await new Promise<Digest[]>((resolve, reject) =>
      client.missing({ digests: asked }, new Metadata(), { deadline: Date.now() + patienceMs }, (error, response) =>
        error ? reject(fromServiceError(error)) : resolve(response.digests),
      ),
    );
    missing.push(...answer);
  }
  return missing;
}
