// ⑤ Whether this machine can show tiered images, found out by mounting one: for the daemon's start, and for `hob doctor`.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../../base/content-folder.ts";
import { sentenceOf } from "../../base/errors.ts";
import { decodeManifest } from "../image/decode.ts";
import { encodeManifest, TIMELESS_SECONDS } from "../image/encode.ts";
import { detach, mount } from "../syscalls.ts";
import { errno, mountFlag } from "../wire/constants.ts";
import { mountErofs } from "./names.ts";
import { erofsOf } from "./write.ts";

const content = Buffer.from("hob");

const refusals: Record<number, string> = {
  [errno.ENODEV]: "the kernel has no EROFS (modprobe erofs)",
  [errno.EPERM]: "it needs root",
  [errno.ENOTBLK]: "the kernel is older than 6.12, or built without EROFS from files",
};

/** Paths in overlayfs's options: commas and colons part them. */
const escaped = (path: string): string => path.replace(/[\\:,]/g, "\\$&");

/** "", or why there are no tiered images here. `folder` lies where the store lies. Never throws. */
export function probeTiered(folder: string): string {
  let mountPoints: string | undefined;
  let files: string | undefined;
  try {
    mountPoints = mkdtempSync(join(tmpdir(), "hob-probe-"));
    files = mkdtempSync(join(folder, "probe-"));
    return tryTiered(mountPoints, files);
  } catch (error) {
    return sentenceOf(error);
  } finally {
    for (const made of [mountPoints, files]) if (made) rmSync(made, { recursive: true, force: true });
  }
}

function tryTiered(mountPoints: string, files: string): string {
  const digest = sha256(content);
  const [image, contents] = [join(files, "image"), join(files, "contents")];
  const [names, merged] = [join(mountPoints, "names"), join(mountPoints, "merged")];
  for (const folder of [names, merged, join(contents, digest.slice(0, 2))]) mkdirSync(folder, { recursive: true });
  const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  const manifest = encodeManifest([{ kind: "file", path: "probe", size: content.length, digest, ...metadata }]);
  writeFileSync(image, erofsOf(decodeManifest(manifest)));
  writeFileSync(join(contents, digest.slice(0, 2), digest), content);

  const failed = mountErofs(image, names);
  if (failed !== 0) return refusals[failed] ?? `the kernel refused an EROFS image (errno ${failed})`;
  try {
    const layers = `lowerdir=${escaped(names)}::${escaped(contents)},metacopy=on,redirect_dir=on`;
    const refused = mount("overlay", merged, "overlay", mountFlag.readOnly, layers);
    if (refused !== 0) return `overlayfs takes no data-only layers, as kernels before 6.5 do not (errno ${refused})`;
    try {
      return readFileSync(join(merged, "probe")).equals(content) ? "" : "overlayfs did not find a file's content";
    } finally {
      detach(merged);
    }
  } finally {
    detach(names);
  }
}
