// ⑤ A container's file systems on the node: a bounded writable layer, the image below it in the container's own uid range.

import { chmodSync, chownSync, constants, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Slot } from "./slots.ts";
import { attachMount, cloneMount, closeDescriptor, idmapMount, makeFileSystem, mount, unmount } from "./system-calls.ts";

/**
 * Mounts a tmpfs of at most `bytes` at FOLDER/rw with what overlayfs writes to, which belongs to the range, or it comes up read-only,
 * and with the container's /tmp: one bound for both.
 */
export function mountWritable(folder: string, slot: Pick<Slot, "uidBase">, bytes: number, undo: AsyncDisposableStack): string {
  const target = join(folder, "rw");
  mkdirSync(target, { mode: 0o711 });
  mount("tmpfs", target, `size=${bytes},mode=0711,uid=${slot.uidBase},gid=${slot.uidBase}`);
  undo.defer(() => unmount(target));
  for (const name of ["upper", "work"]) {
    mkdirSync(join(target, name), { mode: 0o755 });
    chownSync(join(target, name), slot.uidBase, slot.uidBase);
  }
  mkdirSync(join(target, "tmp"));
  chmodSync(join(target, "tmp"), 0o1777);
  chownSync(join(target, "tmp"), slot.uidBase, slot.uidBase);
  return target;
}

export interface ImageLayers {
  /** Mount point of the image: its tree, or, in the tiered view, its names and attributes. */
  image: string;
  /** Folders of blobs, the first that has a content gives it; none where the tree has its contents. */
  contents: readonly string[];
}

const O_PATH = 0o10000000; // include/uapi/asm-generic/fcntl.h

/**
 * Mounts image and writable layer at FOLDER/root. redirect_dir and metacopy: without them a rename of an image's directory copies
 * it whole, and a chmod copies the file; and with metacopy the names say which blob a file's content is. Folders of blobs need no
 * mapping: overlayfs opens them as who mounts, and shows the owners that the names have.
 */
export function mountRoot(
  folder: string,
  { image, contents }: ImageLayers,
  writable: string,
  slot: Slot | undefined,
  undo: AsyncDisposableStack,
): string {
  const target = join(folder, "root");
  mkdirSync(target, { mode: 0o711 });
  const upper = join(writable, "upper");
  const { mode, uid, gid } = statSync(image); // the root's own come from the upper layer
  if (slot) chownSync(upper, slot.uidBase + uid, slot.uidBase + gid); // without a mapping the image belongs to nobody, but not this
  chmodSync(upper, mode & 0o7777);
  using closing = new DisposableStack();
  const lower = cloneMount(image);
  closing.defer(() => closeDescriptor(lower));
  if (slot) idmapMount(lower, slot.userFd);
  const blobs = contents.map((path) => {
    const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
    closing.defer(() => closeDescriptor(fd));
    return ["datadir+", fd] satisfies [string, number];
  });
  const overlay = makeFileSystem("overlay", [
    ["lowerdir+", lower],
    ...blobs,
    ["upperdir", upper],
    ["workdir", join(writable, "work")],
    ["redirect_dir", "on"],
    ["metacopy", "on"],
  ]);
  closing.defer(() => closeDescriptor(overlay));
  attachMount(overlay, target);
  undo.defer(() => unmount(target));
  return target;
}

/** Shows the folder `source`, which may stay empty for now, at FOLDER/project, owned by the container's root. */
export function mountProject(folder: string, source: string, slot: Slot | undefined, undo: AsyncDisposableStack): string {
  const target = join(folder, "project");
  mkdirSync(target, { mode: 0o711 });
  const clone = cloneMount(source);
  try {
    if (slot) idmapMount(clone, slot.userFd);
    attachMount(clone, target);
  } finally {
    closeDescriptor(clone);
  }
  undo.defer(() => unmount(target));
  return target;
}

/** The image for a process of the node's own: as containers see it, with `folders` of the node in it and with /proc; what is written is kept nowhere. */
export function mountPlainRoot(
  folder: string,
  image: ImageLayers,
  folders: Record<string, string>,
  undo: AsyncDisposableStack,
): string {
  const writable = mountWritable(folder, { uidBase: 0 }, 1 << 20, undo);
  const root = mountRoot(folder, image, writable, undefined, undo);
  for (const [target, source] of Object.entries(folders)) {
    mkdirSync(join(root, target), { recursive: true });
    const clone = cloneMount(source);
    try {
      attachMount(clone, join(root, target));
    } finally {
      closeDescriptor(clone);
    }
    undo.defer(() => unmount(join(root, target)));
  }
  mkdirSync(join(root, "proc"), { recursive: true });
  mount("proc", join(root, "proc"), "");
  undo.defer(() => unmount(join(root, "proc")));
  return root;
}
