// A real Debian as a tar, made once for all tests of a day: it takes ten seconds.

import { execFileSync } from "node:child_process";
import { mkdir, rename, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const dayMs = 24 * 3600 * 1000;

/** Path of an uncompressed tar of the essential packages; needs mmdebstrap and the distribution's mirror. */
export async function debianTar(): Promise<string> {
  const folder = join(tmpdir(), "hob-test-cache");
  const path = join(folder, "debian-essential.tar");
  const made = await stat(path).catch(() => undefined);
  if (made && Date.now() - made.mtimeMs < dayMs) return path;
  await mkdir(folder, { recursive: true });
  const temporary = join(folder, `${process.pid}.tar`); // the name says what mmdebstrap makes
  execFileSync("mmdebstrap", ["--quiet", "--variant=essential", "bookworm", temporary], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await rename(temporary, path);
  return path;
}
