// ⑤ What overlayfs has kept of a step's writes, read as the kernel means it: whiteouts, opaque and renamed directories, files without their content.
// Pure. Documentation/filesystems/overlayfs.rst.

import { textOfBytes } from "../../base/byte-text.ts";
import type { EntryMetadata, ManifestEntry } from "../../fusefs/image/encode.ts";

/** An entry of an upper layer, with its owner as the container saw it. */
export type UpperEntry = { path: string } & (
  | { kind: "whiteout" }
  /** `opaque`: nothing of the image before shows through. `redirect`: what shows through lay elsewhere before. */
  | { kind: "directory"; entry: ManifestEntry; opaque: boolean; redirect: string }
  /** A file of which only attributes changed: its content is that of the file at `redirect`, or at its own path. */
  | { kind: "metadata"; entry: EntryMetadata & { hardLink?: string }; redirect: string }
  | { kind: "other"; entry: ManifestEntry }
);

const overlayPrefix = "trusted.overlay.";
export const metacopyXattr = `${overlayPrefix}metacopy`;
const capability = "security.capability";
const accessLists = new Set(["system.posix_acl_access", "system.posix_acl_default"]);

// include/uapi/linux/capability.h: version 3 is version 2 and, behind it, the user id on the node for whose namespace it holds.
const capabilityVersion = { mask: 0xff00_0000, two: 0x0200_0000, three: 0x0300_0000 };
const capabilityBytes = { two: 20, three: 24 };

function plainCapability(value: Buffer, idBase: number): Buffer | undefined {
  if (value.length < capabilityBytes.two) return undefined;
  const magic = value.readUInt32LE(0);
  if ((magic & capabilityVersion.mask) >>> 0 !== capabilityVersion.three) return value;
  if (value.length < capabilityBytes.three || value.readUInt32LE(capabilityBytes.two) !== idBase) return undefined; // of another range
  const plain = Buffer.from(value.subarray(0, capabilityBytes.two));
  plain.writeUInt32LE((capabilityVersion.two | (magic & ~capabilityVersion.mask)) >>> 0, 0);
  return plain;
}

const noId = 0xffff_ffff;

/** include/uapi/linux/posix_acl_xattr.h: u32 version, then entries of u16 tag, u16 permissions, u32 id. */
function shiftedAccessList(value: Buffer, shift: (id: number) => number): Buffer {
  const shifted = Buffer.from(value);
  for (let at = 4; at + 8 <= shifted.length; at += 8) {
    const id = shifted.readUInt32LE(at + 4);
    if (id !== noId) shifted.writeUInt32LE(shift(id), at + 4);
  }
  return shifted;
}

export interface IdRange {
  base: number;
  size: number;
}

/** Reads the entries of an upper layer as they lie on the node, where owners are those of a container's range. */
export function* readUpper(scanned: Iterable<ManifestEntry>, range: IdRange): Iterable<UpperEntry> {
  const shift = (id: number): number => (id >= range.base && id < range.base + range.size ? id - range.base : 0); // the agent's own are root's
  for (const found of scanned) {
    const { path } = found;
    if (found.kind === "device" && found.type === "character" && found.major === 0 && found.minor === 0) {
      yield { kind: "whiteout", path };
      continue;
    }
    const marks = { opaque: false, redirect: "", metacopy: false };
    const xattrs = new Map<string, Buffer>();
    for (const [name, value] of found.xattrs ?? []) {
      if (name === `${overlayPrefix}opaque`) marks.opaque = value.toString() === "y";
      else if (name === `${overlayPrefix}redirect`) marks.redirect = textOfBytes(value);
      else if (name === metacopyXattr) marks.metacopy = true;
      if (name.startsWith(overlayPrefix)) continue;
      const own = name === capability ? plainCapability(value, range.base) : value;
      if (own) xattrs.set(name, accessLists.has(name) ? shiftedAccessList(own, shift) : own);
    }
    const { xattrs: _raw, ...rest } = found;
    const entry: ManifestEntry = {
      ...rest,
      uid: shift(found.uid),
      gid: shift(found.gid),
      ...(xattrs.size > 0 ? { xattrs } : {}),
    };
    if (entry.kind === "directory") yield { kind: "directory", path, entry, opaque: marks.opaque, redirect: marks.redirect };
    else if (marks.metacopy && entry.kind === "file")
      yield { kind: "metadata", path, entry: metadataOf(entry), redirect: marks.redirect };
    else yield { kind: "other", path, entry };
  }
}

function metadataOf(entry: Extract<ManifestEntry, { kind: "file" }>): EntryMetadata & { hardLink?: string } {
  const { kind: _kind, size: _size, digest: _digest, chunks: _chunks, ...metadata } = entry;
  return metadata;
}
