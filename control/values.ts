// ⑦ Arguments and results that lie in the store of blobs: each belongs to one call, and goes when that is forgotten.

import { closeSync, openSync, readSync } from "node:fs";
import { type ContentFolder, isDigest } from "../base/content-folder.ts";
import { errnoOf, sentenceOf, systemError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { LargeValue } from "../proto/gen/hob/v1/common.ts";
import { callOfValue, greatestCallValueBytes, headBytes, oversized } from "../proto/large-value.ts";

export interface Values {
  /** Why it cannot be that call's; undefined when it can. */
  problem(call: string, large: LargeValue | undefined, what: string): string | undefined;
  /** That call's value is of no use any more. */
  drop(call: string, large: LargeValue | undefined): void;
  /** Values of calls that are forgotten. */
  dropAll(digests: readonly string[]): void;
}

export function createValues(blobs: Pick<ContentFolder, "path" | "remove">, log: Log): Values {
  function callOf(digest: string): string | undefined {
    const start = Buffer.alloc(headBytes);
    let descriptor: number | undefined;
    try {
      descriptor = openSync(blobs.path(digest), "r");
      readSync(descriptor, start, 0, headBytes, 0);
      return callOfValue(start);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw systemError(`reading blob ${digest.slice(0, 12)}`, error);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  async function remove(digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      try {
        if (callOf(digest) !== undefined) await blobs.remove(digest); // never what is not a value
      } catch (error) {
        log.warn({ digest, error: sentenceOf(error) }, "a value that nobody wants stays until `hob images gc`");
      }
    }
  }

  return {
    problem(call, large, what) {
      if (!large) return undefined;
      if (large.bytes > greatestCallValueBytes) return oversized(what, large.bytes, "pass less at a time");
      if (isDigest(large.blob) && callOf(large.blob) === call) return undefined;
      return `${what} is not in control's store: put the blob first, with this call's line before it`;
    },
    drop(call, large) {
      if (large && isDigest(large.blob) && callOf(large.blob) === call) void remove([large.blob]);
    },
    dropAll: (digests) => void remove(digests),
  };
}
