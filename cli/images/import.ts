// ⑧ `hob images import`: an image of a registry, which a node fetches; or a folder, a tar or an OCI layout of this machine, which goes to control.

import { closeSync, createReadStream, existsSync, mkdtempSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { type ContentFolder, openContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { captureFolder } from "../../fusefs/image/folder.ts";
import { importOciLayout } from "../../fusefs/image/import/oci-layout.ts";
import { type ImportedImage, keepManifest } from "../../fusefs/image/import/outcome.ts";
import { importTar } from "../../fusefs/image/import/tar.ts";
import { askMissing, putBlobs } from "../../project/content.ts";
import { ImageRecord } from "../../proto/gen/hob/v1/images.ts";
import { connectTo } from "../control-address.ts";
import { interruptSignal, unlessInterrupted } from "../interrupt.ts";
import { lingerMs } from "../linger.ts";
import { printJson, printLine } from "../output.ts";
import { type BuildFlags, follow } from "./build.ts";
import { type ImageClient, openImageClient } from "./client.ts";

export async function importImage(text: string, flags: BuildFlags & { tag?: string }): Promise<void> {
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  const path = resolve(text);
  const isPath = /^(\.{0,2}\/|\.{1,2}$)/.test(text) || existsSync(path);
  if ((isPath || tarName.test(text)) && !existsSync(path)) throw new HobError("usage", `there is no file or folder ${text}`);
  if (flags.tag !== undefined && !isLayout(path)) {
    throw new HobError("usage", `--tag names an image of an OCI layout, and ${text} is none`, {
      ...(isPath ? {} : { remedy: "write HOST/NAME:TAG" }),
    });
  }
  using images = openImageClient(await unlessInterrupted(signal, connectTo(flags.control, lingerMs(flags.linger))()));
  if (isPath) return await importPath(path, images, flags, signal);
  const digest = await follow(images, { source: "oci", digest: "", reference: text, steps: [] }, flags, signal);
  if (!flags.json) printLine(digest);
}

/** Nobody's image in a registry is called so. */
const tarName = /\.(tar|tgz|tar\.(gz|zst))$/;

const isLayout = (path: string): boolean => existsSync(join(path, "oci-layout"));

type Source = "folder" | "tar" | "layout";

async function importPath(
  path: string,
  images: ImageClient,
  flags: BuildFlags & { tag?: string },
  signal: AbortSignal,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "hob-import-"));
  try {
    const store = openContentFolder(folder, { durable: false });
    const source: Source = !statSync(path).isDirectory() ? "tar" : isLayout(path) ? "layout" : "folder";
    const { digest, files, bytes, storedBytes } = await importers[source](path, store, flags.tag, signal).catch((error) => {
      throw unlessRoomHere(error, basename(path));
    });
    await putImage(images, store, digest).catch((error) => {
      throw named(error, `putting ${basename(path)} into control's store`);
    });
    const reference = `${basename(path)}@${digest.slice(0, 12)}`; // another content of that name is another image
    const definition = { source, reference };
    const record = await images.keep(ImageRecord.fromPartial({ definition, digest, files, bytes, storedBytes }));
    if (flags.json)
      printJson({ kind: "image", image: `${source} ${reference}`, key: record.key, digest, files, bytes, storedBytes });
    else printLine(digest);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function named(error: unknown, operation: string): unknown {
  if (!(error instanceof HobError)) return error;
  const { kind, message, remedy } = error;
  return new HobError(kind, `${operation}: ${message}`, { cause: error, ...(remedy === undefined ? {} : { remedy }) });
}

/** It is unpacked here first, and here may be less room than control has. */
function unlessRoomHere(error: unknown, name: string): unknown {
  if (!(error instanceof HobError) || error.kind !== "exhausted") return error;
  const remedy = "free some space there, or name another folder by TMPDIR";
  return new HobError("exhausted", `unpacking ${name} in ${tmpdir()}: ${error.message}`, { cause: error, remedy });
}

type Importer = (path: string, store: ContentFolder, tag: string | undefined, signal: AbortSignal) => Promise<ImportedImage>;

const importers: Record<Source, Importer> = {
  folder: async (path, store, _, signal) => keepManifest(store, await captureFolder(path, store, { signal })),
  tar: (path, store, _, signal) =>
    importTar(createReadStream(path, { highWaterMark: 1 << 20 }), { store, signal, name: basename(path) }),
  layout: (path, store, tag, signal) => importOciLayout(path, { store, signal, ...(tag !== undefined && { tag }) }),
};

/** Its contents before its manifest: control never has an image of which it lacks a blob. */
async function putImage(images: ImageClient, store: ContentFolder, digest: string): Promise<void> {
  const contents = new Set<string>();
  for (const entry of entriesOfManifest(decodeManifest(store.read(digest))))
    if (entry.kind === "file") contents.add(entry.digest);
  const lacking = await askMissing(images.content, [...contents, digest]);
  await putBlobs(images.content, lacking, (each) => piecesOf(store.path(each)));
}

const pieceBytes = 1 << 20;

/** A file of any size: each piece is a buffer of its own, for it may still be on its way when the next is read. */
function* piecesOf(path: string): Generator<Buffer, void, undefined> {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const bytes = readSync(fd, piece);
      if (bytes === 0) return;
      yield piece.subarray(0, bytes);
    }
  } finally {
    closeSync(fd);
  }
}
