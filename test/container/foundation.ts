// ⑤ For the tests of single containers: what an agent's containers stand on, without the agent.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cgroupFolders, removeCgroups } from "../../agent/container/cgroup.ts";
import { createSlots } from "../../agent/container/slots.ts";
import { makeAgentFolders, makeRunFolder } from "../../agent/run-folder.ts";
import { copySdk } from "../../agent/sdk-copy.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import { captureHostImage } from "../../fusefs/image/host.ts";

/** The host's image in a store and mounted, the snapshots, slots. `key`: eight characters, of the pool that the containers belong to. */
export async function layFoundation(key: string, view: "tree" | "tiered", undo: AsyncDisposableStack) {
  const folder = mkdtempSync(join(tmpdir(), `hob-${key}-`));
  undo.defer(() => rmSync(folder, { recursive: true, force: true }));
  const run = mkdtempSync(`/run/hob-${key}-`);
  undo.defer(() => rmSync(run, { recursive: true, force: true }));
  makeRunFolder(run);
  const folders = makeAgentFolders(run);
  copySdk(join(installRoot, "sdk"), folders.sdk);
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const fetch = (digest: string) => Promise.reject(new Error(`${digest} should be in the store`));
  const logFile = join(folder, "fuse.log");
  const fuse = undo.use(await startFuseServer({ store: store.root, fetch, view, run: folders.fuse, logFile }));
  const image = await captureHostImage({ store, node: process.execPath, progress: () => {} });
  if (view === "tiered") {
    await fuse.mountBlobs(folders.blobs);
    undo.defer(() => fuse.unmount(folders.blobs));
  }
  const imageMount = join(folders.images, image.digest);
  mkdirSync(imageMount, { recursive: true });
  await fuse.mountImage(image.digest, imageMount);
  undo.defer(() => fuse.unmount(imageMount));
  await fuse.mountSnapshots(folders.snapshots);
  undo.defer(() => fuse.unmount(folders.snapshots));
  const slots = undo.use(createSlots(key));
  undo.defer(async () => removeCgroups(await cgroupFolders(`hob-${key}`)));
  const contents = view === "tiered" ? [store.root, folders.blobs] : [];
  return { folders, store, fuse, image, imageMount, slots, contents };
}
