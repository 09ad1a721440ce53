// ⑧ `hob images`: the root filesystems that nodes hold.

import type { Command } from "commander";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import type { Column } from "./format/table.ts";
import { formatMoment } from "./format/time.ts";
import { printJson, printLine, printTable } from "./output.ts";

const columns: Column[] = [
  { title: "IMAGE" },
  { title: "DIGEST" },
  { title: "FILES", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "STORED", align: "right" },
  { title: "LOCAL", align: "right" },
  { title: "NODE" },
  { title: "VIEW" },
  { title: "CAPTURED" },
];

export function addImages(program: Command): void {
  program
    .command("images")
    .description("root filesystems that the nodes hold")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob images\n")
    .action(list);
}

async function list(flags: { control?: string; json?: boolean }): Promise<void> {
  const { openPoolClient } = await import("./pool-client.ts");
  using pool = openPoolClient(await runningControl(flags.control));
  const images = await pool.images();
  if (flags.json) return images.forEach((image) => void printJson({ kind: "image", ...image }));
  if (images.length === 0) return printLine("No images yet: the first function that needs one has it captured.");
  const nowMs = Date.now();
  printTable(
    columns,
    images.map((image) => [
      image.source,
      image.digest.slice(0, 12),
      String(image.files),
      formatBytes(image.bytes),
      formatBytes(image.storedBytes),
      formatBytes(image.localBytes),
      image.node,
      image.view,
      formatMoment(image.capturedAtMs, nowMs),
    ]),
  );
}
