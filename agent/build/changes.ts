// ⑤ Steps that need no container: copy, env, workdir and user change the manifest alone. Pure.

import { HobError } from "../../base/errors.ts";
import { configOf, type ImageConfig } from "../../fusefs/image/config.ts";
import { type ManifestEntry, TIMELESS_SECONDS } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { type Manifest, typeOf } from "../../fusefs/image/manifest.ts";
import { fileType } from "../../fusefs/wire/constants.ts";
import type { ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { placeOf } from "../runner/image-paths.ts";

export interface Image {
  entries: Iterable<ManifestEntry>;
  config: ImageConfig;
}

/** What is known of a copied file's content besides its digest: where it is large, the digests of its pieces. */
export type ChunksOf = (digest: string) => readonly string[] | undefined;

/**
 * A project's files have no times of their own here. One that follows from the content: Python takes bytecode for that of a source of the
 * same size and time.
 */
const timeOf = (digest: string): number => TIMELESS_SECONDS + Number.parseInt(digest.slice(0, 6), 16);

function copy(manifest: Manifest, step: ImageStep, chunksOf: ChunksOf): Iterable<ManifestEntry> {
  const target = step.arguments[0] ?? "/";
  const files = new Map<string, ManifestEntry>();
  for (const { path, digest, size, mode } of step.files) {
    const wanted = path === "" ? target : `${target}/${path}`;
    const place = placeOf(manifest, wanted);
    const occupied = place?.inode !== undefined && typeOf(manifest, place.inode) === fileType.directory;
    if (!place || occupied || place.path === "") {
      throw new HobError(
        "precondition",
        `${wanted} ${occupied ? "is a folder" : "leads through what is no folder"} in the image`,
        {
          remedy: "choose another target",
        },
      );
    }
    const chunks = chunksOf(digest);
    const owner = { uid: 0, gid: 0, mtimeSeconds: timeOf(digest), mtimeNanoseconds: 0 };
    files.set(place.path, {
      kind: "file",
      path: place.path,
      mode: mode & 0o7777,
      size,
      digest,
      ...(chunks ? { chunks } : {}),
      ...owner,
    });
  }
  return replaced(manifest, files);
}

/** The image's entries, those of the same paths first left out, then added. */
function* replaced(manifest: Manifest, files: ReadonlyMap<string, ManifestEntry>): Iterable<ManifestEntry> {
  for (const entry of entriesOfManifest(manifest)) if (!files.has(entry.path)) yield entry;
  yield* files.values();
}

const folderMode = 0o755;

/** As a shell's `mkdir -p`; the encoder makes the folders above it. */
function withFolder(manifest: Manifest, path: string): Iterable<ManifestEntry> {
  const place = placeOf(manifest, path);
  if (!place || (place.inode !== undefined && typeOf(manifest, place.inode) !== fileType.directory)) {
    throw new HobError("precondition", `${path} is no folder in the image`, { remedy: "choose another folder" });
  }
  if (place.inode !== undefined) return entriesOfManifest(manifest);
  const owner = { uid: 0, gid: 0, mtimeSeconds: TIMELESS_SECONDS, mtimeNanoseconds: 0 };
  return replaced(manifest, new Map([[place.path, { kind: "directory", path: place.path, mode: folderMode, ...owner }]]));
}

type Change = (manifest: Manifest, step: ImageStep, chunksOf: ChunksOf) => Image;

const configured =
  (change: (config: ImageConfig, words: readonly string[]) => ImageConfig): Change =>
  (manifest, { arguments: words }) => ({ entries: entriesOfManifest(manifest), config: change(configOf(manifest), words) });

const changes: Readonly<Record<string, Change>> = {
  copy: (manifest, step, chunksOf) => ({ entries: copy(manifest, step, chunksOf), config: configOf(manifest) }),
  env: configured((config, [name = "", value = ""]) => ({ ...config, env: { ...config.env, [name]: value } })),
  user: configured((config, [user = ""]) => ({ ...config, user })),
  workdir: (manifest, { arguments: [path = "/"] }) => ({
    entries: withFolder(manifest, path),
    config: { ...configOf(manifest), workdir: path },
  }),
};

/** The image after the step; undefined for one of a kind that is run. HobError `precondition` where the image has something in the way. */
export function changeOf(manifest: Manifest, step: ImageStep, chunksOf: ChunksOf): Image | undefined {
  return changes[step.kind]?.(manifest, step, chunksOf);
}
