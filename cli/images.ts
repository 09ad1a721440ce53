// ⑧ `hob images`: the root filesystems that nodes hold; built, imported, looked at, compared and forgotten by hand.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import type { Column } from "./format/table.ts";
import { formatMoment } from "./format/time.ts";
import type { BuildFlags } from "./images/build.ts";
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

interface Flags {
  control?: string;
  json?: boolean;
}

export function addImages(program: Command): void {
  const images = program
    .command("images")
    .description("root filesystems: those that the nodes hold, and ls, build, import, show, diff, rm, gc")
    .enablePositionalOptions()
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExamples:\n  hob images\n  hob images build app.py::image\n  hob images show 41e0c2\n")
    .action(list);
  const add = (usage: string, description: string, example: string): Command =>
    images
      .command(usage)
      .description(description)
      .option("--control <address>", "control to use: unix:PATH")
      .option("--json", "one JSON object a line")
      .addHelpText("after", `\nExample:\n  ${example}\n`);
  const linger = "how long a pool that this starts stays after its last client (default 30)";
  add("build <target>", "build an image of a file: its log to stderr, its digest to stdout", "hob images build app.py::image")
    .option("--no-cache", "run every step, known or not")
    .option("--linger <seconds>", linger)
    .action(async (target: string, flags: BuildFlags) => (await import("./images/build.ts")).build(target, flags));
  add(
    "import <source>",
    "import an image of a registry, a tar, a folder or an OCI layout: its digest to stdout",
    "hob images import registry.example/team/name:1.0",
  )
    .option("--no-cache", "ask the registry again, known or not")
    .option("--linger <seconds>", linger)
    .option("--tag <tag>", "of an OCI layout: which of its images")
    .action(async (source: string, flags: BuildFlags) => (await import("./images/import.ts")).importImage(source, flags));
  add("ls", "the images that the pool knows, and how their last builds went", "hob images ls --json").action(listAll);
  add(
    "show <image>",
    "one image, by digest or FILE::IMAGE: sizes, steps, sharing, the log of its last build",
    "hob images show 41e0c2",
  ).action(show);
  add("diff <before> <after>", "the paths that two images do not have alike", "hob images diff 41e0c2 9c1f2b").action(diff);
  add("rm <image>", "forget an image that no function uses", "hob images rm 41e0c2").action(remove);
  add("gc", "free what only forgotten images hold", "hob images gc --unused")
    .option("--dry-run", "say what would go, and leave it")
    .option("--unused", "forget images first that no function uses")
    .action(collect);
}

async function list(flags: Flags): Promise<void> {
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

async function clientOf(flags: Flags) {
  const { openImageClient } = await import("./images/client.ts");
  return openImageClient(await runningControl(flags.control));
}

async function listAll(flags: Flags): Promise<void> {
  using images = await clientOf(flags);
  const { printRecords } = await import("./images/show.ts");
  printRecords(await images.list(), flags.json ?? false);
}

/** By digest, or by the name of an image in a file. */
async function named(text: string): Promise<string> {
  if (!text.includes("::")) return text;
  const [{ withImageOf }, { imageKey }] = await Promise.all([import("./images/build.ts"), import("../proto/image.ts")]);
  return withImageOf(text, async ({ image }) => imageKey(image));
}

async function show(text: string, flags: Flags): Promise<void> {
  const image = await named(text);
  const [{ openPoolClient }, { printDetails }] = await Promise.all([import("./pool-client.ts"), import("./images/show.ts")]);
  using images = await clientOf(flags);
  using pool = openPoolClient(await runningControl(flags.control));
  const [details, onNodes] = await Promise.all([images.show(image), pool.images()]);
  const held = onNodes.filter(({ digest }) => digest === details.record?.digest);
  printDetails(details, held, flags.json ?? false);
}

const marks = { added: "+", removed: "-", changed: "~" } as const;

async function diff(before: string, after: string, flags: Flags): Promise<void> {
  using images = await clientOf(flags);
  const { differences } = await import("./images/diff.ts");
  async function digestOf(name: string): Promise<string> {
    const { record } = await images.show(await named(name));
    if (record?.digest) return record.digest;
    throw new HobError("precondition", `image ${name} has not been built`, { remedy: `\`hob images show ${name}\` says why` });
  }
  const digests = await Promise.all([digestOf(before), digestOf(after)]);
  const [old, fresh] = (await Promise.all(digests.map((digest) => images.blob(digest)))) as [Buffer, Buffer];
  const changes = differences(old, fresh);
  if (changes.length === 0 && !flags.json) {
    process.stderr.write(digests[0] === digests[1] ? "hob: it is one image\n" : "hob: no path differs but in its times\n");
  }
  for (const change of changes) {
    if (flags.json) printJson({ kind: "path", ...change });
    else printLine(`${marks[change.change]} ${change.path}${change.what.length > 0 ? `  (${change.what.join(", ")})` : ""}`);
  }
}

async function remove(text: string, flags: Flags): Promise<void> {
  const image = await named(text);
  using images = await clientOf(flags);
  const before = await images.list();
  const { digest, key } = await images.remove(image);
  if (flags.json) return printJson({ kind: "image", removed: true, digest, key });
  const { imageLabel } = await import("../proto/image.ts");
  const labelOf = ({ definition }: (typeof before)[number]): string => (definition ? imageLabel(definition) : "");
  const gone = before.find((record) => record.key === key);
  const others = before.filter((record) => digest !== "" && record.digest === digest && record.key !== key).map(labelOf);
  const name = `Image ${(digest || key.replace(/^spec:/, "")).slice(0, 12)} (${gone ? labelOf(gone) : ""}) is forgotten`;
  if (others.length > 0) printLine(`${name}; its contents stay, as ${others.join(", ")}.`);
  else printLine(`${name}; \`hob images gc\` frees what only it holds.`);
}

async function collect(flags: Flags & { dryRun?: boolean; unused?: boolean }): Promise<void> {
  using images = await clientOf(flags);
  const { dryRun = false, unused = false } = flags;
  const { images: count, blobs, bytes } = await images.collect(dryRun, unused);
  if (flags.json) return printJson({ kind: "gc", dryRun, images: count, blobs, bytes });
  printLine(`${dryRun ? "Would free" : "Freed"} ${formatBytes(bytes)}: ${blobs} blobs of ${count} forgotten images.`);
}
