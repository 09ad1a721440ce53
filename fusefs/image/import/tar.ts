// ⑤ A tar as an image: plain, gzip or zstd, of any size.

import { openLease } from "../../../base/store-work.ts";
import { applyLayer } from "./layer.ts";
import { type ImportedImage, type ImportOptions, keepManifest } from "./outcome.ts";
import { createImageTree } from "./tree.ts";

/** `name` is what errors call the tar. HobError `corrupt`, `precondition` or `exhausted` names it and the entry. */
export async function importTar(
  stream: AsyncIterable<Uint8Array>,
  { store, signal, name = "the tar" }: ImportOptions & { name?: string },
): Promise<ImportedImage> {
  using lease = openLease(store.root);
  const tree = createImageTree();
  await applyLayer(tree, { name: `importing ${name}`, data: stream }, { store, lease, signal });
  const image = await keepManifest(store, [...tree.entries()]);
  lease.done();
  return image;
}
