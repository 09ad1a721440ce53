// ⑧ Which build of hob this is: control and client compare it, so that a new client never speaks with a stale pool.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, systemError } from "../base/errors.ts";
import { entryFile, installRoot } from "../base/install.ts";

/** The id that scripts/build.ts wrote beside the bundle; "source" when hob runs from its sources. */
export function buildId(): string {
  if (entryFile("cli/main").endsWith(".ts")) return "source";
  const file = join(installRoot, "dist", "build-id");
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "unknown";
    throw systemError(`reading ${file}`, error);
  }
}

export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(installRoot, "package.json"), "utf8"));
  const version = typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : undefined;
  return typeof version === "string" ? version : "0";
}
