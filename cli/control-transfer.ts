// ④ `hob control export` and `import`: a pool as a folder, to keep, or to move between an embedded control and NATS. `keys`: those of a new one.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { silentLog } from "../base/log.ts";
import { poolPaths } from "../base/paths.ts";

interface TransferFlags {
  engine?: string;
  state?: string;
}

/** `--engine` and `--state` are those of `hob control`. */
export function addTransfer(control: Command): void {
  control
    .command("export <folder>")
    .description(
      "write a pool, with its keys, into an empty folder: this installation's, that of --state, or with --engine one on NATS",
    )
    .addHelpText("after", "\nExample:\n  hob control export pool --state /var/lib/hob\n")
    .action((folder: string, _own: object, command: Command) => exportPool(resolve(folder), command.optsWithGlobals()));
  control
    .command("keys <folder>")
    .description(
      "make the keys of a pool on NATS, which every control of it needs in its state folder; those that are there stay",
    )
    .addHelpText("after", "\nExample:\n  hob control keys pool-keys\n")
    .action((folder: string) => keys(resolve(folder)));
  control
    .command("import <folder>")
    .description(
      "put what export wrote into a pool on NATS that has nothing yet; --state is where this machine's control keeps its keys",
    )
    .addHelpText("after", "\nExample:\n  hob control import pool --engine nats://a,b,c --state /var/lib/hob\n")
    .action((folder: string, _own: object, command: Command) => importPool(resolve(folder), command.optsWithGlobals()));
}

async function keys(folder: string): Promise<void> {
  const { makeKeys } = await import("../control/pool-keys.ts");
  for (const file of await makeKeys(folder)) process.stdout.write(`${join(folder, file)}\n`);
}

const parsed = async (url: string) => (await import("../control/engine/nats/link.ts")).parseNatsUrl(url);

async function exportPool(folder: string, { engine, state }: TransferFlags): Promise<void> {
  const { exportEmbedded, exportShared } = await import("../control/transfer.ts");
  let blobs: number;
  if (engine !== undefined) {
    if (state === undefined)
      throw new HobError("usage", "the pool's keys are not in NATS", { remedy: "name a control's state folder with --state" });
    blobs = await exportShared(await parsed(engine), { state: resolve(state), to: folder, log: silentLog });
  } else
    blobs = await exportEmbedded(
      state === undefined ? poolPaths(installRoot) : { state: resolve(state), store: resolve(state, "blobs") },
      folder,
    );
  process.stdout.write(`${folder} has the pool: its database, ${blobs} blobs and its keys. Who has it has the pool's secrets.\n`);
  process.stdout.write(
    `\`hob control --state ${folder}\` serves it; \`hob control import ${folder} --engine nats://…\` moves it to NATS\n`,
  );
}

async function importPool(folder: string, { engine, state }: TransferFlags): Promise<void> {
  if (engine === undefined || state === undefined) {
    throw new HobError("usage", "an import needs a pool on NATS and a folder for its keys", {
      remedy: "add --engine nats://… and --state FOLDER; without NATS, `hob control --state` serves an export as it is",
    });
  }
  const { importShared } = await import("../control/transfer.ts");
  const blobs = await importShared(folder, await parsed(engine), { state: resolve(state), log: silentLog });
  process.stdout.write(
    `the pool is on NATS, with ${blobs} blobs; its keys are in ${resolve(state)}: copy them to its other controls\n`,
  );
}
