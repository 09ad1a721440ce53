// ⑤ An image of a registry as an image of hob: `Image.oci(…)`, `hob images import`.

import { createHash } from "node:crypto";
import { HobError } from "../../../base/errors.ts";
import { openLease } from "../../../base/store-work.ts";
import type { RegistryCredential } from "../../../proto/gen/hob/v1/common.ts";
import { parseReference } from "../../../proto/registry-reference.ts";
import { applyFetchedLayers } from "./fetched-layers.ts";
import { inLayer } from "./layer.ts";
import {
  choosePlatform,
  mostDocumentBytes,
  type OciDocument,
  ownPlatform,
  type Platform,
  parseConfig,
  parseDocument,
} from "./oci.ts";
import { type ImportedImage, type ImportOptions, keepManifest } from "./outcome.ts";
import { openRepository, type Repository } from "./registry.ts";
import { createImageTree } from "./tree.ts";
import { verifiedDocument } from "./verified.ts";

export interface RegistryImport extends ImportedImage {
  /** sha256 of the registry's own manifest of this platform: what the tag meant when it was imported. */
  source: string;
}

export interface RegistryImportOptions extends ImportOptions {
  credentials: readonly RegistryCredential[];
  /** Registries that are spoken to by plain HTTP; HOB_INSECURE_REGISTRIES where it is not given. Those on this machine always are. */
  insecure?: readonly string[];
  platform?: Platform;
  /** Compressed bytes that have arrived, and of how many. */
  progress?(bytes: number, totalBytes: number): void;
}

const namedInsecure = (): string[] => (process.env["HOB_INSECURE_REGISTRIES"] ?? "").split(/[\s,]+/).filter(Boolean);

interface Found {
  manifest: OciDocument & { kind: "manifest" };
  source: string;
}

/** The manifest for that platform, through at most one index in an index. */
async function findManifest(repository: Repository, reference: string, platform: Platform, depth = 2): Promise<Found> {
  const { bytes, mediaType } = await repository.document(reference);
  const document = parseDocument(bytes, mediaType);
  if (document.kind === "manifest") return { manifest: document, source: createHash("sha256").update(bytes).digest("hex") };
  if (depth === 0) throw new HobError("corrupt", "its index lists indexes of indexes");
  return await findManifest(repository, `sha256:${choosePlatform(document.manifests, platform).digest}`, platform, depth - 1);
}

/**
 * Fetches, verifies and keeps the image. HobErrors begin with the reference: `usage` a reference that is none, `notFound`, `precondition`
 * (not authorised, wrong platform), `corrupt` (digests; hostile layers, by layer and entry), `exhausted`, `unavailable`.
 */
export async function importFromRegistry(reference: string, options: RegistryImportOptions): Promise<RegistryImport> {
  const named = parseReference(reference);
  const { store, signal, credentials, platform = ownPlatform(), insecure = namedInsecure() } = options;
  using lease = openLease(store.root);
  using repository = openRepository(named, { credentials, insecure, signal });
  try {
    const asked = named.digest ? `sha256:${named.digest}` : named.tag;
    const { manifest, source } = await findManifest(repository, asked, platform);
    const { config, layers } = manifest;
    if (config.size > mostDocumentBytes) throw new HobError("corrupt", `its config has ${config.size} bytes, which is too many`);
    const imageConfig = parseConfig(
      await verifiedDocument(repository.blob(config), config, "its config"),
      platform,
      layers.length,
    );
    const tree = createImageTree();
    const { progress } = options;
    await applyFetchedLayers(tree, layers, repository.blob, { store, lease, signal, ...(progress ? { progress } : {}) });
    const image = await keepManifest(store, tree.entries(), { config: imageConfig, lease });
    return { ...image, source };
  } catch (error) {
    throw inLayer(`importing ${reference}`, error);
  }
}
