// ⑤ Runs one step of an image in a container of its own, over the image that the step before has left, and hands over what it wrote.

import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { HobError, sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openFilesLimit } from "../../base/open-files.ts";
import { openMeter, removeCgroups, swapLimitAvailable } from "../container/cgroup.ts";
import { cgroupParent } from "../container/container.ts";
import { awaitEnd, type Ended, endOf, kill } from "../container/process.ts";
import { mountRoot, mountWritable } from "../container/root.ts";
import { createProcess, forgetContainer, type RuncPlace } from "../container/runc.ts";
import { rangeSize, type Slot, type Slots } from "../container/slots.ts";
import { type ContainerUser, runtimeSpec } from "../container/spec.ts";
import type { Network } from "../network/network.ts";
import { type AgentNode, hostsPoint } from "../runner/image-runtime.ts";
import type { AptSource } from "./apt-sources.ts";
import { watchDisk } from "./disk.ts";
import type { StepEnd } from "./explain.ts";
import { kitPoint, writeKit } from "./kit.ts";
import type { NodeConfig } from "./node-config.ts";
import type { IdRange } from "./upper.ts";

export interface StepHost {
  key: string;
  folders: { containers: string; runc: string };
  /** Where steps write, on the disk of the node's blobs. */
  disk: string;
  slots: Slots;
  network: Pick<Network, "obstacle" | "nameFile" | "admit">;
  idmap(): boolean;
  /** As for containers: folders of blobs that the image's contents are in, none where its tree has them. */
  contents(): readonly string[];
  node: AgentNode;
  /** hosts(5) for images that have none. */
  hostsFile: string;
  log: Log;
}

export interface StepWish {
  imageMount: string;
  /** Whether the image has a hosts(5) of its own. */
  knowsHosts: boolean;
  /** A script for sh -e. */
  script: string;
  env: Readonly<Record<string, string>>;
  cwd: string;
  user: ContainerUser;
  config: NodeConfig;
  /** apt's, in place of the image's own; none: the image's hold. */
  sources: readonly AptSource[];
}

/** What the step has left: a folder with the upper layer. */
export interface Written {
  folder: string;
  range: IdRange;
}

// What a package manager's root does: owners, modes, other users, file capabilities. All of it holds in the build's own user namespace only;
// docs/security.md says why each.
const capabilities = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "SETUID",
  "SETGID",
  "SETPCAP",
  "SETFCAP",
  "KILL",
  "SYS_CHROOT",
].map((name) => `CAP_${name}`);

/** Where the container's own mounts lie: what comes up there in its root is none of the image's. */
export function mountPoints({ knowsHosts }: Pick<StepWish, "knowsHosts">): ReadonlySet<string> {
  const hosts = knowsHosts ? [] : [hostsPoint.slice(1)];
  return new Set(["proc", "dev", "sys", "tmp", kitPoint.slice(1), "etc/resolv.conf", ...hosts]);
}

const greatestMemory = 8 * 2 ** 30;
const memoryBytes = (): number => Math.floor(Math.min(totalmem() / 2, greatestMemory));
const stepMinutes = 30;
const writtenBytesMost = 32 * 2 ** 30;

interface Layer extends Written {
  root: string;
  scratch: string;
}

/** The step's root: image below, a layer on the disk above; on a disk that overlayfs cannot write to, one in memory. */
function mountLayer(
  host: StepHost,
  place: { folder: string; disk: string },
  wish: StepWish,
  slot: Slot,
  undo: AsyncDisposableStack,
): Layer {
  const mapped = host.idmap() ? slot : undefined;
  const layer = (writable: string): Layer => ({
    root: mountRoot(place.folder, { image: wish.imageMount, contents: host.contents() }, writable, mapped, undo),
    ...{ folder: join(writable, "upper"), scratch: join(writable, "tmp") },
    range: { base: slot.uidBase, size: rangeSize },
  });
  for (const name of ["upper", "work", "tmp"]) {
    mkdirSync(join(place.disk, name), { mode: 0o755 });
    chownSync(join(place.disk, name), slot.uidBase, slot.uidBase);
  }
  chmodSync(join(place.disk, "tmp"), 0o1777);
  try {
    return layer(place.disk);
  } catch (error) {
    host.log.warn({ folder: place.disk, error: sentenceOf(error) }, "steps of images write into memory here");
    return layer(mountWritable(place.folder, slot, Math.floor(memoryBytes() / 2), undo));
  }
}

/**
 * Resolves with how the step ended, after `take` has taken what it wrote, where it succeeded. Nothing is left when this settles. `signal` ends the
 * step and rejects.
 */
export async function runStep(
  host: StepHost,
  wish: StepWish,
  output: (stream: string, bytes: Buffer) => void,
  take: (written: Written) => Promise<void>,
  signal: AbortSignal,
): Promise<StepEnd> {
  if (!host.idmap()) {
    throw new HobError(
      "precondition",
      "this node's kernel cannot show an image in a container's own users, which a build needs",
      {
        remedy: "build on a node with Linux 6.12 or newer",
      },
    );
  }
  const id = `b${randomBytes(4).toString("hex")}`;
  await using undo = new AsyncDisposableStack();
  let doing = "user namespace";
  try {
    const slot = await host.slots.acquire("internet", signal);
    undo.defer(() => host.slots.release(slot));

    doing = "file systems";
    const folder = join(host.folders.containers, id);
    const disk = join(host.disk, id);
    for (const path of [folder, disk]) {
      mkdirSync(path, { recursive: true, mode: 0o711 });
      undo.defer(() => rm(path, { recursive: true, force: true }));
    }
    const mounts = undo.use(new AsyncDisposableStack()); // gone before what was written is taken
    const layer = mountLayer(host, { folder, disk }, wish, slot, mounts);

    doing = "network";
    const online = slot.network === "internet";
    const admitted = online ? undo.use(await host.network.admit(slot.index, wish.config.reach)) : undefined;
    const kitFolder = join(folder, "kit");
    mkdirSync(kitFolder, { mode: 0o755 });
    const kit = writeKit({
      ...{ folder: kitFolder, seenAt: kitPoint, config: wish.config, sources: wish.sources },
      ...{ proxy: admitted?.proxy ?? "", uid: slot.uidBase },
    });

    doing = "runc create";
    signal.throwIfAborted();
    const place: RuncPlace = { root: host.folders.runc, bundle: folder, id };
    const npm = wish.config.npm.folder;
    const spec = runtimeSpec({
      ...{ id, root: layer.root, slot, scratch: layer.scratch, capabilities, cwd: wish.cwd, user: wish.user },
      cgroupsPath: `/${cgroupParent(host.key)}/${id}`,
      shown: [
        { destination: kitPoint, source: kitFolder },
        { destination: `${kitPoint}/bin/node`, source: host.node.path },
        ...(wish.knowsHosts ? [] : [{ destination: hostsPoint, source: host.hostsFile }]),
        ...(npm ? [{ destination: `${kitPoint}/npm`, source: npm }] : []),
      ],
      nameFile: online ? host.network.nameFile : undefined,
      resourceClass: { cpu: 0, memoryBytes: memoryBytes(), language: "", gpu: "", network: "internet" },
      agentPid: process.pid,
      command: { args: ["/bin/sh", "-ec", wish.script], env: { ...kit.env, ...wish.env } },
      ...{ swapLimit: swapLimitAvailable(), openFilesMost: openFilesLimit() },
    });
    undo.defer(() => forgetContainer(place));
    const created = await createProcess(place, spec);
    undo.defer(() => removeCgroups(Object.values(created.cgroups)));
    await using running = new AsyncDisposableStack(); // ends before its cgroup goes
    running.defer(async () => {
      kill(created.init);
      await awaitEnd(created.init);
    });
    created.socket.destroy(); // of runners
    const meter = running.use(openMeter(created.cgroups));

    doing = "its command";
    const cut = Promise.withResolvers<string>();
    const stop = (): void => cut.resolve("aborted");
    signal.addEventListener("abort", stop, { once: true });
    running.defer(() => signal.removeEventListener("abort", stop));
    const timer = setTimeout(() => cut.resolve(`it took longer than ${stepMinutes} minutes`), stepMinutes * 60_000);
    running.defer(() => clearTimeout(timer));
    running.use(watchDisk([layer.folder, layer.scratch], writtenBytesMost, cut.resolve));
    for (const [index, stream] of created.output.entries())
      stream.on("data", (bytes: Buffer) => output(index === 0 ? "stdout" : "stderr", bytes));
    const closed = created.output.map((stream) => new Promise<void>((resolve) => stream.once("close", resolve)));
    const exited = endOf(created.init);
    using _begun = created.begin();
    if (signal.aborted) stop();
    const first = await Promise.race([exited, cut.promise]);
    if (typeof first === "string") kill(created.init);
    const end: Ended = typeof first === "string" ? await exited : first;
    await Promise.all(closed);
    signal.throwIfAborted();
    const ended: StepEnd = { ...end, memoryKills: meter.oomKills(), cut: typeof first === "string" ? first : "" };
    await running.disposeAsync();
    if (ended.code !== 0 || ended.signal || ended.cut) return ended;

    doing = "what it wrote";
    if (layer.folder.startsWith(disk)) await mounts.disposeAsync();
    await take(layer);
    return ended;
  } catch (error) {
    signal.throwIfAborted();
    throw systemError(`running a step of an image (${doing})`, error);
  }
}
