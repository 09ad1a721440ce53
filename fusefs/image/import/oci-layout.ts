// ⑤ An OCI image layout folder as an image. OCI image-spec 1.1, "Image Layout".

import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, HobError, systemError } from "../../../base/errors.ts";
import { openLease } from "../../../base/store-work.ts";
import { applyLayer, inLayer } from "./layer.ts";
import {
  choosePlatform,
  type Descriptor,
  type IndexEntry,
  mostDocumentBytes,
  type OciDocument,
  ownPlatform,
  type Platform,
  parseConfig,
  parseDocument,
} from "./oci.ts";
import { type ImportedImage, type ImportOptions, keepManifest } from "./outcome.ts";
import { createImageTree } from "./tree.ts";
import { verified, verifiedDocument } from "./verified.ts";

interface LayoutOptions extends ImportOptions {
  /** The only image, where it is not given. */
  tag?: string;
  platform?: Platform;
}

async function readIndex(folder: string): Promise<IndexEntry[]> {
  try {
    const document = parseDocument(await readFile(join(folder, "index.json")), "application/vnd.oci.image.index.v1+json");
    return document.kind === "index" ? document.manifests : [];
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new HobError("notFound", "there is no index.json in it", {
      cause: error,
      remedy: "name an OCI image layout, such as skopeo copy … oci:FOLDER:TAG makes",
    });
  }
}

function chooseTag(entries: readonly IndexEntry[], tag: string | undefined): IndexEntry[] {
  const tags = [...new Set(entries.flatMap((entry) => entry.tag ?? []))];
  const remedy = `name one of its tags: ${tags.join(", ")}`;
  if (tag === undefined) {
    // Several without tags are one image for several platforms.
    if (tags.length > 1) throw new HobError("usage", `it has ${tags.length} images`, { remedy });
    if (entries.length === 0) throw new HobError("notFound", "it holds no image");
    return [...entries];
  }
  const chosen = entries.filter((entry) => entry.tag === tag);
  if (chosen.length === 0)
    throw new HobError("notFound", `it has no image with the tag "${tag}"`, tags.length > 0 ? { remedy } : {});
  return chosen;
}

/** HobErrors name the folder, and of a layer that is damaged or hostile the layer and the entry. */
export async function importOciLayout(folder: string, options: LayoutOptions): Promise<ImportedImage> {
  const { store, signal, platform = ownPlatform() } = options;
  using lease = openLease(store.root);

  async function* blob({ digest }: Descriptor): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* createReadStream(join(folder, "blobs", "sha256", digest), {
        highWaterMark: 1 << 20,
        signal,
      }) as AsyncIterable<Buffer>;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw systemError(`reading blob ${digest.slice(0, 12)}`, error);
      throw new HobError("corrupt", `blob ${digest.slice(0, 12)} is missing`, { cause: error });
    }
  }

  async function document(descriptor: Descriptor, what: string): Promise<Buffer> {
    if (descriptor.size > mostDocumentBytes)
      throw new HobError("corrupt", `${what} has ${descriptor.size} bytes, which is too many`);
    return await verifiedDocument(blob(descriptor), descriptor, what);
  }

  async function manifestOf(entries: readonly IndexEntry[], depth: number): Promise<OciDocument & { kind: "manifest" }> {
    const chosen = entries.length === 1 ? (entries[0] as IndexEntry) : choosePlatform(entries, platform);
    const found = parseDocument(await document(chosen, "its manifest"), chosen.mediaType);
    if (found.kind === "manifest") return found;
    if (depth === 0) throw new HobError("corrupt", "its index lists indexes of indexes");
    return await manifestOf([choosePlatform(found.manifests, platform)], depth - 1);
  }

  try {
    const { config, layers } = await manifestOf(chooseTag(await readIndex(folder), options.tag), 2);
    const imageConfig = parseConfig(await document(config, "its config"), platform, layers.length);
    const tree = createImageTree();
    for (const [index, layer] of layers.entries()) {
      const name = `layer ${index + 1} (sha256 ${layer.digest.slice(0, 12)})`;
      await applyLayer(tree, { name, data: verified(blob(layer), layer, "its content") }, { store, lease, signal });
    }
    const image = await keepManifest(store, tree.entries(), { config: imageConfig, lease });
    return image;
  } catch (error) {
    throw inLayer(`importing the OCI layout ${folder}`, error);
  }
}
