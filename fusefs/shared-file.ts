// ⑤ Reads a blob into memory that the daemon's threads share.

import { open } from "node:fs/promises";
import { basename } from "node:path";
import { systemError } from "../base/errors.ts";

/** A file as memory that several threads see, without a copy on the way: manifests are large, and many. */
export async function readShared(path: string): Promise<SharedArrayBuffer> {
  try {
    await using handle = await open(path);
    const shared = new SharedArrayBuffer((await handle.stat()).size);
    const target = new Uint8Array(shared);
    for (let at = 0; at < target.length; ) {
      const { bytesRead } = await handle.read(target, at, target.length - at, at);
      if (bytesRead === 0) throw new Error("it became shorter while it was read");
      at += bytesRead;
    }
    return shared;
  } catch (error) {
    throw systemError(`reading blob ${basename(path).slice(0, 12)}`, error);
  }
}
