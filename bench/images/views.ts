// ⑤ One tree seen in four ways, each below the same overlay: plain files, hob's two views, and C libfuse's passthrough example.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { type ImageLayers, mountRoot } from "../../agent/container/root.ts";
import { unmount } from "../../agent/container/system-calls.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import { probeTiered } from "../../fusefs/erofs/probe.ts";
import type { FuseServer } from "../../fusefs/server.ts";
import type { MeasuredTree } from "./tree.ts";

export type ViewName = "native" | "tiered" | "tree" | "libfuse";

/** Where each view's root is; a view that cannot be had here is missing, and was said. */
export type Views = Partial<Record<ViewName, string>>;

const passthroughExample = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c";

export async function showViews(
  folder: string,
  tree: MeasuredTree,
  say: (text: string) => void,
  undo: AsyncDisposableStack,
): Promise<Views> {
  const views: Views = {};
  const place = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const show = (name: ViewName, layers: ImageLayers): void => {
    const writable = place(`${name}.writable`);
    for (const layer of ["upper", "work"]) mkdirSync(join(writable, layer));
    views[name] = mountRoot(place(`${name}.container`), layers, writable, undefined, undo);
  };

  show("native", { image: tree.native, contents: [] });
  const treeServer = undo.use(await startServer(folder, tree, "tree"));
  const image = place("tree.image");
  await treeServer.mountImage(tree.digest, image);
  show("tree", { image, contents: [] });

  const obstacle = probeTiered(folder);
  if (obstacle !== "") say(`images: no tiered view: ${obstacle}`);
  else {
    const server = undo.use(await startServer(folder, tree, "tiered"));
    const [blobs, names] = [place("tiered.blobs"), place("tiered.image")];
    await server.mountBlobs(blobs);
    await server.mountImage(tree.digest, names);
    show("tiered", { image: names, contents: [tree.store.root, blobs] });
  }

  const source = await showLibfuse(folder, tree.native, say, undo);
  if (source) show("libfuse", { image: source, contents: [] });
  return views;
}

export function startServer(folder: string, tree: Pick<MeasuredTree, "store">, view: "tree" | "tiered"): Promise<FuseServer> {
  const fetch = (digest: string): Promise<void> => Promise.reject(new Error(`${digest} should be in the store`));
  return startFuseServer({
    store: tree.store.root,
    fetch,
    view,
    logFile: join(folder, `${view}.log`),
    run: join(folder, `${view}.run`),
  });
}

/** The rival's mount, or undefined, and why was said. */
async function showLibfuse(
  folder: string,
  native: string,
  say: (text: string) => void,
  undo: AsyncDisposableStack,
): Promise<string | undefined> {
  const program = join(folder, "passthrough_ll");
  try {
    if (!existsSync(passthroughExample)) throw new Error(`there is no ${passthroughExample} (Debian: libfuse3-dev)`);
    const flags = execFileSync("pkg-config", ["--cflags", "--libs", "fuse3"], { encoding: "utf8" }).trim().split(/\s+/);
    execFileSync("gcc", ["-O2", "-o", program, passthroughExample, "-I", dirname(passthroughExample), ...flags], {
      stdio: "pipe",
    });
  } catch (error) {
    say(`images: no libfuse beside us: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
    return undefined;
  }
  const point = join(folder, "libfuse.image");
  mkdirSync(point);
  const options = `source=${native},cache=always,timeout=86400,allow_other,ro`;
  const child = spawn(program, ["-f", "-o", options, point], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(child, "exit");
  undo.defer(async () => {
    unmount(point);
    child.kill("SIGKILL");
    await ended;
  });
  for (let tries = 0; !existsSync(join(point, "usr")); tries++) {
    if (tries > 500 || child.exitCode !== null) {
      say(`images: no libfuse beside us: ${said.split("\n")[0] || "it did not mount"}`);
      return undefined;
    }
    await after(10);
  }
  return point;
}
