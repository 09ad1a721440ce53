// Where this installation lies, and its entry files: TypeScript sources in a checkout under test, bundles below dist/ otherwise.

import { existsSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(import.meta.url);

function findRoot(): string {
  for (let folder = dirname(here); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
  }
  throw new Error(`no package.json above ${here}`);
}

/** The folder with package.json, sdk/ and bin/. */
export const installRoot: string = findRoot();

/** The file to run for an entry such as "fusefs/worker": DIST/fusefs/worker.js from a bundle, ROOT/fusefs/worker.ts from source. */
export function entryFile(entry: string): string {
  const bundled = here.startsWith(join(installRoot, "dist") + sep);
  return bundled ? join(installRoot, "dist", `${entry}.js`) : join(installRoot, `${entry}.ts`);
}
