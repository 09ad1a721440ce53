// The same app in TypeScript: what kinds of file the image holds, and how large they are.

import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { App, Image } from "hob";

const app = new App("quickstart");
const image = Image.host();

interface Kind {
  extension: string;
  files: number;
  bytes: number;
}

/** Files and bytes below a folder, by extension, largest first. */
async function kinds(folder: string): Promise<Kind[]> {
  const byExtension = new Map<string, Kind>();
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const extension = extname(entry.name) || "(none)";
    const kind = byExtension.get(extension) ?? { extension, files: 0, bytes: 0 };
    kind.files += 1;
    kind.bytes += (await stat(join(entry.parentPath, entry.name))).size;
    byExtension.set(extension, kind);
  }
  return [...byExtension.values()].sort((a, b) => b.bytes - a.bytes);
}

export const sizes = app.function(
  { image, timeout: 30 },
  async (folder: string = "/usr/lib/python3/dist-packages", top: number = 5) => {
    const found = await kinds(folder);
    console.log(`${folder}: ${found.length} kinds of file`);
    return found.slice(0, top);
  },
);
