// ⑤ Extended attributes behind an EROFS inode: the image's own, and those that tell overlayfs where a file's content lies.

import { HobError } from "../../base/errors.ts";
import { DIGEST_BYTES, digestOf, type Manifest, sizeOf, typeOf } from "../image/manifest.ts";
import { xattrName, xattrsOf, xattrValue } from "../image/tables.ts";
import { fileType } from "../wire/constants.ts";
import { XATTR_HEADER_BYTES, xattrEntry, xattrPrefixes } from "./layout.ts";

interface Attribute {
  prefix: number;
  /** Behind the prefix. */
  name: Buffer;
  value: Buffer;
}

const trusted = 4;
const ownOfOverlay = "trusted.overlay.";
const METACOPY: Attribute = { prefix: trusted, name: Buffer.from("overlay.metacopy"), value: Buffer.alloc(0) };
/** /ab/abcd…: a content's file in every folder of blobs. One object, filled in for each file. */
const REDIRECT: Attribute = {
  prefix: trusted,
  name: Buffer.from("overlay.redirect"),
  value: Buffer.alloc("/ab/".length + 2 * DIGEST_BYTES, "/"),
};

/**
 * An attribute of the image as EROFS keeps it; undefined for those that it has no room for (of other file systems' own). What overlayfs would take
 * for its own is escaped as it escapes it (Documentation/filesystems/overlayfs.rst, nesting): an image must not say where a file's content lies.
 */
function attributeOf(name: Buffer, value: Buffer): Attribute | undefined {
  const text = name.toString("latin1");
  const found = xattrPrefixes.find(([prefix]) => (prefix.endsWith(".") ? text.startsWith(prefix) : text === prefix));
  if (!found) return undefined;
  const rest = text.startsWith(ownOfOverlay) ? `overlay.${text.slice("trusted.".length)}` : text.slice(found[0].length);
  if (value.length > 0xffff || rest.length > 0xff) throw new HobError("exhausted", `the attribute ${text} is too long for EROFS`);
  return { prefix: found[1], name: Buffer.from(rest, "latin1"), value };
}

function ownAttributes(manifest: Manifest, inode: number): Attribute[] {
  if (manifest.xattrs.length === 0) return [];
  const list: Attribute[] = [];
  for (let { first, end } = xattrsOf(manifest, inode); first < end; first++) {
    const attribute = attributeOf(xattrName(manifest, first), xattrValue(manifest, first));
    if (attribute) list.push(attribute);
  }
  return list;
}

const entryBytes = ({ name, value }: Attribute): number => (xattrEntry.sizeof + name.length + value.length + 3) & ~3;

const hasContent = (manifest: Manifest, inode: number): boolean =>
  typeOf(manifest, inode) === fileType.regular && sizeOf(manifest, inode) > 0;

/** Bytes of all attributes of an inode, their header included; 0 where there are none. */
export function attributeBytes(manifest: Manifest, inode: number): number {
  const own = ownAttributes(manifest, inode).reduce((sum, attribute) => sum + entryBytes(attribute), 0);
  const bytes = own + (hasContent(manifest, inode) ? entryBytes(METACOPY) + entryBytes(REDIRECT) : 0);
  return bytes === 0 ? 0 : bytes + XATTR_HEADER_BYTES;
}

/** i_xattr_icount of so many bytes. */
export const attributeWords = (bytes: number): number => (bytes === 0 ? 0 : (bytes - XATTR_HEADER_BYTES) / 4 + 1);

function writeAttribute(attribute: Attribute, target: Buffer, at: number): number {
  const { prefix, name, value } = attribute;
  target[at + xattrEntry.nameBytes] = name.length;
  target[at + xattrEntry.prefix] = prefix;
  target.writeUInt16LE(value.length, at + xattrEntry.valueBytes);
  name.copy(target, at + xattrEntry.sizeof);
  value.copy(target, at + xattrEntry.sizeof + name.length);
  return at + entryBytes(attribute);
}

/** Into zeros: the header stays as it is, as nothing is shared and nothing filtered. */
export function writeAttributes(manifest: Manifest, inode: number, target: Buffer, offset: number): void {
  let at = offset + XATTR_HEADER_BYTES;
  if (hasContent(manifest, inode)) {
    at = writeAttribute(METACOPY, target, at);
    const hex = digestOf(manifest, inode);
    REDIRECT.value.write(hex, "/ab/".length, "latin1");
    REDIRECT.value.write(hex.slice(0, 2), 1, "latin1");
    at = writeAttribute(REDIRECT, target, at);
  }
  for (const attribute of ownAttributes(manifest, inode)) at = writeAttribute(attribute, target, at);
}
