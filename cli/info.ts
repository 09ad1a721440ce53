// ⑧ `hob info`: every path and version in use.

import { existsSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { installRoot } from "../base/install.ts";
import { cacheFolder, configFile, inputsFile, keptInputsFolder, poolPaths, runFolder, stateFolder } from "../base/paths.ts";
import { buildId, packageVersion } from "./build.ts";
import { formatTable } from "./format/table.ts";

export function addInfo(program: Command): void {
  program
    .command("info")
    .description("every path and version in use")
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  hob info --json\n")
    .action(({ json }: { json?: boolean }) => print(json === true));
}

function print(json: boolean): void {
  const pool = poolPaths(installRoot);
  const versions = { hob: packageVersion(), build: buildId(), node: process.version, linux: release() };
  const paths = {
    ...{ install: installRoot, settings: configFile(), state: stateFolder(), cache: cacheFolder(), run: runFolder() },
    ...{ "pool's socket": pool.socket, "pool's state": pool.state, "pool's logs": join(pool.state, "logs"), blobs: pool.store },
    ...{ "inputs of functions": inputsFile(), "kept inputs": keptInputsFolder() },
    ...{ "faults of the screen": join(stateFolder(), "screen.log") },
  };
  const there = Object.entries(paths).map(([name, path]) => ({ name, path, exists: existsSync(path) }));
  if (json) {
    process.stdout.write(`${JSON.stringify({ versions, paths: there })}\n`);
    return;
  }
  const rows = [
    ...Object.entries(versions).map(([name, version]) => [name, version, ""]),
    ...there.map(({ name, path, exists }) => [name, path, exists ? "" : "not there yet"]),
  ];
  const columns = [{ title: "what" }, { title: "where or which" }, { title: "" }];
  process.stdout.write(`${formatTable(columns, rows, 0).join("\n")}\n`);
}
