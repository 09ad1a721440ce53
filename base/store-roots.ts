// What several owners of one store want kept: pools of one user share it. Each says so in a file; whoever collects heeds those of the others.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, isDigest } from "./content-folder.ts";
import { errnoOf, systemError } from "./errors.ts";
import { workFile } from "./store-work.ts";

export interface Roots {
  /** Of images and of blobs that are wanted for themselves: all of this owner, in place of what it said before. */
  keep(digests: Iterable<Digest>): void;
  /** Of all other owners. */
  ofOthers(): Set<Digest>;
}

/** `owner`: a folder without which nobody wants them any more, a pool's state. */
export function openRoots(root: string, owner: string): Roots {
  const folder = join(root, "roots");
  const own = createHash("sha256").update(owner).digest("hex").slice(0, 16);
  let said: string | undefined;

  function linesOf(name: string): string[] {
    try {
      return readFileSync(join(folder, name), "utf8").split("\n");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return []; // its owner is gone, and somebody has seen it before us
      throw systemError("reading what others keep in the blob store", error);
    }
  }

  return {
    keep(digests) {
      const text = [owner, ...[...new Set(digests)].filter(isDigest).sort(), ""].join("\n");
      if (text === said) return;
      const temporary = workFile(root, "roots");
      try {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        writeFileSync(temporary, text, { mode: 0o600 });
        renameSync(temporary, join(folder, own));
        said = text;
      } catch (error) {
        rmSync(temporary, { force: true });
        throw systemError("saying what is kept in the blob store", error, "free some space, then try again");
      }
    },
    ofOthers() {
      const kept = new Set<Digest>();
      const names = existsSync(folder) ? readdirSync(folder) : [];
      for (const name of names) {
        if (name === own) continue;
        const [other = "", ...digests] = linesOf(name);
        if (!existsSync(other)) rmSync(join(folder, name), { force: true });
        else for (const digest of digests) if (digest !== "") kept.add(digest);
      }
      return kept;
    },
  };
}
