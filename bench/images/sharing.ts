// ⑤ Ten images with one base in one store beside what their layers take, and two hundred mounts in one process.

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContentFolder } from "../../base/content-folder.ts";
import { encodeManifest, type ManifestEntry, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import { makeRow, type Row } from "../report.ts";
import { largeFile, type MeasuredTree } from "./tree.ts";
import { startServer } from "./views.ts";

const images = 10;
const mounts = 200;
const ownBytes = 2 ** 20;
/** What each of the ten installs for itself above the base: in their layers it is there ten times. */
const installed = /^usr\/lib\/python3\/dist-packages\//;

async function storedBytes(store: ContentFolder): Promise<number> {
  let sum = 0;
  for await (const digest of store.list()) sum += await store.size(digest);
  return sum;
}

const sizeOf = (entries: readonly ManifestEntry[]): number =>
  entries.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.size : 0), 0);

/** Ten manifests: the same base, the same packages, and a file of its own in each. */
async function makeTen({ store, entries }: MeasuredTree): Promise<{ digests: string[]; layerBytes: number }> {
  const tree = entries.filter(({ path }) => path !== largeFile);
  const packages = tree.filter(({ path }) => installed.test(path));
  const metadata = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  const digests: string[] = [];
  for (let image = 0; image < images; image++) {
    const digest = await store.put(randomBytes(ownBytes));
    digests.push(
      await store.put(encodeManifest([...tree, { kind: "file", path: "srv/own", size: ownBytes, digest, ...metadata }])),
    );
  }
  const base = sizeOf(tree) - sizeOf(packages);
  return { digests, layerBytes: base + images * (sizeOf(packages) + ownBytes) };
}

const residentBytes = (pid: number): number =>
  1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

export async function sharing(folder: string, tree: MeasuredTree, say: (text: string) => void): Promise<Row[]> {
  const large = tree.entries.find(({ path }) => path === largeFile);
  const { digests, layerBytes } = await makeTen(tree);
  const stored = (await storedBytes(tree.store)) - sizeOf(large ? [large] : []);
  say(
    `images: ten images with one base: ${(stored / 1e6).toFixed(0)} MB in the store, ${(layerBytes / 1e6).toFixed(0)} MB in layers`,
  );
  const rows = [
    makeRow(
      {
        ...{ bench: "images", row: "dedup-ten", stat: "total", value: stored / 1e6, unit: "MB" },
        ...{ rival: "their layers, unpacked", rivalValue: layerBytes / 1e6 },
      },
      { times: 1 },
    ),
  ];
  for (const view of ["tree", "tiered"] as const) {
    await using server = await startServer(folder, tree, view).catch((error: unknown) => {
      say(`images: no 200 mounts in the ${view} view: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
    if (!server) continue;
    const point = (name: string): string => {
      mkdirSync(join(folder, `200-${view}`, name), { recursive: true });
      return join(folder, `200-${view}`, name);
    };
    if (view === "tiered") await server.mountBlobs(point("blobs"));
    // All of one image first, which is what the goal is of: then ten more of as many images.
    for (let mount = 0; mount < mounts; mount++) await server.mountImage(tree.digest, point(String(mount)));
    const value = residentBytes(server.pid) / 1e6;
    for (const [index, digest] of digests.entries()) await server.mountImage(digest, point(`other-${index}`));
    say(
      `images: 200 mounts (${view}): ${value.toFixed(0)} MB, and with ten more images ${(residentBytes(server.pid) / 1e6).toFixed(0)} MB`,
    );
    rows.push(makeRow({ bench: "images", row: "mounts-200-rss", of: view, stat: "total", value, unit: "MB" }, { atMost: 150 }));
  }
  return rows;
}
