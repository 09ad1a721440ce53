// ⑤ Image.debian(suite): made by mmdebstrap from the node's own mirrors, as root of a user namespace only, and taken as a stream.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chownSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import type { Slots } from "../container/slots.ts";
import { debianSources, sourceLine, sourcesFor } from "./apt-sources.ts";
import { writeKit } from "./kit.ts";
import type { NodeConfig } from "./node-config.ts";

export interface DebianHost {
  /** Below the run folder: packages' scripts run as many users, who must be able to walk to it. */
  folder: string;
  slots: Slots;
}

const packages = ["python3", "ca-certificates"];
/** Of files that have no time of their own: 2024-01-01. */
const sourceDateEpoch = "1704067200";

/** Documentation and translations: never read in a container, and a third of the files. */
const leftOut = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*"];
const keptOf = ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"];

/** What is done to the tree once all is installed: `$1` is its root. */
function finishing(suite: string): string[] {
  const sources = debianSources(suite).map((source) => sourceLine(source));
  const write = (path: string, ...lines: string[]): string =>
    `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > "$1${path}"`;
  return [
    write("/etc/apt/sources.list", ...sources),
    write("/etc/hosts", "127.0.0.1 localhost", "::1 localhost"),
    // No package's script starts a service in a build.
    `${write("/usr/sbin/policy-rc.d", "#!/bin/sh", "exit 101")} && chmod 755 "$1/usr/sbin/policy-rc.d"`,
    'rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/machine-id" "$1/etc/apt/apt.conf.d/99mmdebstrap"',
    'rm -rf "$1"/var/cache/ldconfig "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old', // mmdebstrap itself empties apt's folders
    'find "$1/var/log" -type f -delete',
  ];
}

export interface DebianWish {
  suite: string;
  config: NodeConfig;
  /** What it prints, as it comes. */
  output(bytes: Buffer): void;
}

/**
 * Runs mmdebstrap, and `take` on the tar that it writes. HobError `precondition` where it is not installed; `unavailable` where it failed, which its
 * output explains.
 */
export async function makeDebian<T>(
  host: DebianHost,
  { suite, config, output }: DebianWish,
  take: (tar: Readable) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  await using undo = new AsyncDisposableStack();
  const slot = await host.slots.acquire("none", signal);
  undo.defer(() => host.slots.release(slot));
  const folder = join(host.folder, `debian-${randomBytes(4).toString("hex")}`);
  for (const path of [folder, join(folder, "kit"), join(folder, "tmp")]) mkdirSync(path, { recursive: true, mode: 0o755 });
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  chownSync(join(folder, "tmp"), slot.uidBase, slot.uidBase);
  const kitFolder = join(folder, "kit");
  const kit = writeKit({
    ...{ folder: kitFolder, seenAt: kitFolder, config, sources: sourcesFor(config.apt.sources, config.apt.codename, suite) },
    ...{ proxy: "", uid: slot.uidBase },
  });
  const proxies = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);
  const passedOn = Object.fromEntries(
    proxies.flatMap((name) => (process.env[name] ? [[name, process.env[name] as string]] : [])),
  );
  const args = [
    ...[`--user=/proc/self/fd/3`, "--setuid", "0", "--setgid", "0"],
    ...["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"],
    ...["mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", `--include=${packages.join(",")}`],
    ...[...kit.aptOptions, 'APT::Install-Recommends "false";', ...config.apt.proxies].map(
      (line) => `--aptopt=${line.replace(/;$/, "")}`,
    ),
    ...["force-unsafe-io", ...leftOut.map((path) => `path-exclude=${path}`), ...keptOf.map((path) => `path-include=${path}`)].map(
      (option) => `--dpkgopt=${option}`,
    ),
    ...finishing(suite).map((hook) => `--customize-hook=${hook}`),
    ...[suite, "-", ...kit.sources],
  ];
  const program = spawn("nsenter", args, {
    stdio: ["ignore", "pipe", "pipe", slot.userFd],
    env: {
      ...{ PATH: process.env["PATH"], HOME: join(folder, "tmp"), TMPDIR: join(folder, "tmp"), LC_ALL: "C.UTF-8" },
      ...{ SOURCE_DATE_EPOCH: sourceDateEpoch, DEBIAN_FRONTEND: "noninteractive", ...passedOn },
    },
    signal,
    killSignal: "SIGKILL",
  });
  const ended = once(program, "close") as Promise<[number | null, string | null]>;
  undo.defer(async () => {
    program.kill("SIGKILL");
    await ended.catch(() => {}); // it could not be started, or was aborted: said below
  });
  (program.stderr as Readable).on("data", output);
  try {
    const taken = take(program.stdout as Readable);
    taken.catch(() => {}); // a tar that is cut off: what cut it off says more
    const [code, killed] = await ended;
    if (code === 127 || code === 126) throw missing();
    // Where there is no room for what it makes, it dies of a pipe that nobody reads.
    const reason =
      code === 0
        ? undefined
        : await taken.then(
            () => undefined,
            (error: unknown) => error,
          );
    if (reason instanceof HobError && reason.kind === "exhausted") throw reason;
    if (code !== 0) throw new HobError("unavailable", `mmdebstrap ${killed ? `was killed by ${killed}` : `exited ${code}`}`);
    return await taken;
  } catch (error) {
    signal.throwIfAborted();
    if (errnoOf(error) === "ENOENT") throw missing();
    throw systemError("running mmdebstrap", error);
  }
}

const missing = (): HobError =>
  new HobError("precondition", "mmdebstrap is not on this node", {
    remedy: "install the package mmdebstrap, or use Image.oci(…)",
  });
