// ⑤ What the kernel gives: FUSE and its passthrough, overlayfs, idmapped mounts, user namespaces. Each is tried, not guessed.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { promisify } from "node:util";
import { sentenceOf } from "../../base/errors.ts";
import { chooseView } from "../../fusefs/erofs/choice.ts";
import { probeTiered } from "../../fusefs/erofs/probe.ts";
import { probeFuse } from "../../fusefs/probe.ts";
import type { Finding } from "./finding.ts";
import { atLeast, versionIn } from "./version.ts";

const run = promisify(execFile);

export function checkKernel(): Finding {
  const found = `Linux ${release()}`;
  const row = { check: "kernel", title: "kernel", found };
  const version = versionIn(release());
  if (atLeast(version, [6, 12])) return { ...row, state: "ok", meaning: "all that hob uses" };
  if (atLeast(version, [5, 19])) {
    const meaning = atLeast(version, [6, 9])
      ? "no idmapped FUSE mounts (6.12): images cannot be shared between user namespaces"
      : "no FUSE passthrough (6.9) and no idmapped FUSE mounts (6.12): reads of images go through hob";
    return { ...row, state: "limited", meaning, remedy: "a kernel from 6.12 on is fastest" };
  }
  return { ...row, state: "missing", meaning: "too old for hob's containers", remedy: "use a kernel from 6.12 on" };
}

export async function checkFuse(): Promise<Finding[]> {
  const fuse = { check: "fuse", title: "FUSE" };
  if (!existsSync("/dev/fuse")) {
    const remedy = "load it with `modprobe fuse`, or, inside a container, start that one with `--device /dev/fuse`";
    return [{ ...fuse, state: "missing", found: "/dev/fuse is missing", meaning: "images cannot be mounted", remedy }];
  }
  const probe = await probeFuse();
  if (!probe.fuse) {
    const remedy = "run as root, in a container with `--device /dev/fuse --cap-add SYS_ADMIN`";
    return [{ ...fuse, state: "missing", found: "a mount failed", meaning: probe.reason, remedy }];
  }
  return [
    { ...fuse, state: "ok", found: "/dev/fuse, a mount worked", meaning: "images are mounted lazily" },
    probe.passthrough
      ? {
          check: "passthrough",
          title: "passthrough",
          state: "ok",
          found: "used",
          meaning: "local blobs are read at native speed",
        }
      : {
          check: "passthrough",
          title: "passthrough",
          state: "limited",
          found: "not used",
          meaning: `reads go through hob's server (${probe.reason})`,
          remedy: "needs a kernel from 6.9 on, root, and a cache folder that is not on an overlay",
        },
    probe.idmap
      ? {
          check: "idmap",
          title: "idmapped mounts",
          state: "ok",
          found: "used",
          meaning: "each container has a uid range of its own",
        }
      : {
          check: "idmap",
          title: "idmapped mounts",
          state: "limited",
          found: "not on FUSE",
          meaning: "an image cannot be shared between uid ranges",
          remedy: "use a kernel from 6.12 on",
        },
  ];
}

export function checkImageView(): Finding {
  const row = { check: "image-view", title: "view of images" };
  const wish = process.env["HOB_IMAGE_VIEW"];
  try {
    const { kind, reason } = chooseView(wish, probeTiered(tmpdir()));
    if (kind === "tiered")
      return {
        ...row,
        state: "ok",
        found: `tiered, as ${reason}`,
        meaning: "FUSE is asked only for contents that are not here yet",
      };
    const meaning = "FUSE shows whole trees, and containers start more slowly";
    if (wish) return { ...row, state: "ok", found: `tree, as ${reason}`, meaning };
    return { ...row, state: "limited", found: `tree: ${reason}`, meaning, remedy: "a kernel from 6.12 on with EROFS is fastest" };
  } catch (error) {
    return { ...row, state: "missing", found: sentenceOf(error), meaning: "" };
  }
}

// In a mount namespace of its own, on a tmpfs: nothing is left, whatever happens.
const overlayProbe = `mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && echo deep > /mnt/l/file &&
mount -t overlay none -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w,redirect_dir=on,metacopy=on /mnt/m && cat /mnt/m/file`;

export async function checkOverlay(): Promise<Finding> {
  const row = { check: "overlay", title: "overlayfs" };
  const failure = await failureOf("unshare", ["--mount", "--propagation", "private", "sh", "-c", overlayProbe]);
  if (!failure) return { ...row, state: "ok", found: "a mount worked", meaning: "containers write to a layer of their own" };
  return {
    ...row,
    state: "missing",
    found: "a mount failed",
    meaning: failure,
    remedy: "run as root; load it with `modprobe overlay`",
  };
}

export async function checkUserNamespaces(): Promise<Finding> {
  const row = { check: "userns", title: "user namespaces" };
  const failure = await failureOf("unshare", ["--user", "--map-root-user", "true"]);
  if (!failure) return { ...row, state: "ok", found: "one was made", meaning: "root in a container is nobody outside" };
  const remedy = "allow them with `sysctl -w user.max_user_namespaces=15000`";
  return { ...row, state: "missing", found: "none can be made", meaning: failure, remedy };
}

/** The last line that a command complained with; undefined when it succeeded. */
async function failureOf(command: string, args: string[]): Promise<string | undefined> {
  try {
    await run(command, args, { timeout: 10_000 });
    return undefined;
  } catch (error) {
    const said = error instanceof Error && "stderr" in error && typeof error.stderr === "string" ? error.stderr.trim() : "";
    return said.split("\n").at(-1) || (error instanceof Error ? error.message : String(error));
  }
}
