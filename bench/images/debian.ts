// The image of the bench: a Debian with numpy and what its users have beside it, about 1 GB; made once, kept in the cache.

import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openContentFolder } from "../../base/content-folder.ts";
import { cacheFolder } from "../../base/paths.ts";
import type { ImportedImage } from "../../fusefs/image/import/outcome.ts";
import { importTar } from "../../fusefs/image/import/tar.ts";
import { KNOWN_FEATURES } from "../../fusefs/image/manifest.ts";

const packages = ["python3-numpy", "python3-scipy", "python3-pandas", "python3-dev", "build-essential", "git"];

const sh = (line: string, cwd: string): void =>
  void execFileSync("/bin/sh", ["-ec", line], { cwd, stdio: ["ignore", "ignore", "inherit"] });

export interface Debian {
  /** OCI layout with the tag "debian". */
  layout: string;
  /** Blob folder that has all of it. */
  store: string;
  image: string;
  storedBytes: number;
}

export async function makeDebian(say: (text: string) => void): Promise<Debian> {
  const folder = join(cacheFolder(), "bench-images");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, "root.tar"))) {
    say("images: building a Debian with mmdebstrap, once");
    sh(`mmdebstrap --quiet --variant=minbase --include=${packages.join(",")} bookworm half.tar && mv half.tar root.tar`, folder);
  }
  if (!existsSync(join(folder, "layout"))) {
    rmSync(join(folder, "half"), { recursive: true, force: true });
    sh("umoci init --layout half && umoci new --image half:debian && umoci raw add-layer --image half:debian root.tar", folder);
    renameSync(join(folder, "half"), join(folder, "layout"));
  }
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const imported = join(folder, `imported.${KNOWN_FEATURES}.json`); // by another format it is another image
  if (!existsSync(imported)) {
    say("images: importing it");
    const tar = createReadStream(join(folder, "root.tar"), { highWaterMark: 1 << 20 });
    writeFileSync(imported, JSON.stringify(await importTar(tar, { store })));
  }
  const { digest, storedBytes } = JSON.parse(readFileSync(imported, "utf8")) as ImportedImage;
  return { layout: join(folder, "layout"), store: store.root, image: digest, storedBytes };
}
