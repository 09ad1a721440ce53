// ⑤ Which view of images a node uses. Pure: what the machine can do was found out before (probe.ts).

import { HobError } from "../../base/errors.ts";

/**
 * "tree": FUSE shows an image's whole tree, which works wherever there is FUSE. "tiered": the kernel reads names and attributes from an EROFS
 * image and contents from the store, and asks FUSE only for contents that are not there yet.
 */
export interface ImageView {
  kind: "tree" | "tiered";
  /** Why this one. One clause. */
  reason: string;
}

/** `wish`: HOB_IMAGE_VIEW. `obstacle`: why this machine has no tiered images; "" when it has. */
export function chooseView(wish: string | undefined, obstacle: string): ImageView {
  if (wish === "tree") return { kind: "tree", reason: "HOB_IMAGE_VIEW asks for it" };
  if (wish === "tiered" && obstacle !== "") {
    throw new HobError("precondition", `HOB_IMAGE_VIEW asks for tiered images: ${obstacle}`, { remedy: "unset HOB_IMAGE_VIEW" });
  }
  if (wish === "tiered") return { kind: "tiered", reason: "HOB_IMAGE_VIEW asks for it" };
  if (wish)
    throw new HobError("usage", `HOB_IMAGE_VIEW is "${wish}"`, { remedy: "tree and tiered are the views that there are" });
  if (obstacle !== "") return { kind: "tree", reason: obstacle };
  return { kind: "tiered", reason: "the kernel mounts EROFS images beneath folders of blobs" };
}
