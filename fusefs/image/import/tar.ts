// ⑤ A tar as an image: plain, gzip or zstd, of any size.

import { HobError } from "../../../base/errors.ts";
import { openLease } from "../../../base/store-work.ts";
import { applyLayer } from "./layer.ts";
import { type ImportedImage, type ImportOptions, keepManifest } from "./outcome.ts";
import { createImageTree } from "./tree.ts";

const savedName = /^(manifest\.json|repositories|index\.json|oci-layout|blobs|[0-9a-f]{64}(\.json|\.tar)?)$/;

/** Nothing is no root filesystem, and what `docker save` packs is no root filesystem, though it would pass for one. */
function refuseOthers(names: readonly string[], name: string): void {
  if (names.length === 0) throw new HobError("corrupt", `importing ${name}: nothing is in it`);
  const isSaved = names.includes("manifest.json") || names.includes("oci-layout");
  if (!isSaved || !names.every((each) => savedName.test(each))) return;
  const kind = names.includes("manifest.json") ? "docker-archive" : "oci-archive";
  throw new HobError(
    "usage",
    `importing ${name}: it holds images, as docker save and podman save pack them, and no root filesystem`,
    {
      remedy: `unpack it with skopeo copy ${kind}:FILE oci:FOLDER:TAG, then import the folder`,
    },
  );
}

/** `name` is what errors call the tar. HobError `corrupt`, `precondition` or `exhausted` names it and the entry. */
export async function importTar(
  stream: AsyncIterable<Uint8Array>,
  { store, signal, name = "the tar" }: ImportOptions & { name?: string },
): Promise<ImportedImage> {
  using lease = openLease(store.root);
  const tree = createImageTree();
  await applyLayer(tree, { name: `importing ${name}`, data: stream }, { store, lease, signal });
  refuseOthers(tree.names(), name);
  return await keepManifest(store, tree.entries(), { lease });
}
