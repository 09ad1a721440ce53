// Bundles the product into dist/: one entry a process, shared chunks, production React. A file appears by rename only, so that
// a hob that is running keeps the chunks it may still load; what no build has written for a day is deleted.

import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const dayMs = 24 * 3600 * 1000;

/** proto/generated-clients.ts says why. */
const lateGrpc: Plugin = {
  name: "late-grpc",
  setup({ onResolve }) {
    onResolve({ filter: /^@grpc\/grpc-js$/ }, ({ importer }) =>
      importer.startsWith(join(root, "proto/gen/")) ? { path: join(root, "proto/generated-clients.ts") } : undefined,
    );
  },
};

const result = await build({
  absWorkingDir: root,
  entryPoints: [
    "cli/main.ts",
    "control/engine/write-back-worker.ts",
    "fusefs/daemon.ts",
    "fusefs/holder.ts",
    "fusefs/worker.ts",
    "fusefs/image/store-worker.ts",
    "project/describe/typescript-evaluate.ts",
  ],
  outdir: dist,
  outbase: root,
  entryNames: "[dir]/[name]",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  write: false,
  format: "esm",
  platform: "node",
  target: "node24",
  jsx: "automatic",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  // Native code, and packages that read files beside themselves, stay where npm put them.
  external: ["koffi", "esbuild", "oxc-parser", "blessed", "blessed-contrib", "chokidar"],
  plugins: [lateGrpc],
  alias: { "react-devtools-core": join(root, "scripts/react-devtools-stub.ts") },
  define: { "process.env.NODE_ENV": '"production"' },
  banner: { js: 'import { createRequire as hobRequire } from "node:module"; const require = hobRequire(import.meta.url);' },
});

const hash = createHash("sha256");
for (const file of [...result.outputFiles].sort((a, b) => a.path.localeCompare(b.path))) {
  if (!file.path.endsWith(".map")) hash.update(relative(dist, file.path)).update(file.contents);
  await mkdir(dirname(file.path), { recursive: true });
  const temporary = `${file.path}.${process.pid}`;
  await writeFile(temporary, file.contents);
  await rename(temporary, file.path);
}

for (const name of await readdir(join(dist, "chunks"))) {
  const file = join(dist, "chunks", name);
  if (Date.now() - (await stat(file)).mtimeMs > dayMs) await rm(file, { force: true });
}

// Last: its time says that everything else is newer than the sources.
await writeFile(join(dist, `build-id.${process.pid}`), `${hash.digest("hex").slice(0, 16)}\n`);
await rename(join(dist, `build-id.${process.pid}`), join(dist, "build-id"));
