// ⑤ Extended attributes behind an EROFS inode: the image's own, and those that tell overlayfs where a file's content lies.

import { HobError } from "../../base/errors.ts";
import type { Manifest } from "../image/manifest.ts";
import { xattrName, xattrsOf, xattrValue } from "../image/tables.ts";
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
const REDIRECT = Buffer.from("overlay.redirect");

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

const entryBytes = ({ name, value }: Attribute): number => (xattrEntry.sizeof + name.length + value.length + 3) & ~3;

export interface Attributes {
  readonly list: readonly Attribute[];
  /** Header included; 0 where there are none. */
  readonly bytes: number;
}

const none: Attributes = { list: [], bytes: 0 };

/** `digest`: of the content of a regular file that is not empty, in hex. Its file in every folder of blobs is the redirect: /ab/abcd… */
export function attributesOf(manifest: Manifest, inode: number, digest: string | undefined): Attributes {
  const list: Attribute[] = digest
    ? [METACOPY, { prefix: trusted, name: REDIRECT, value: Buffer.from(`/${digest.slice(0, 2)}/${digest}`, "latin1") }]
    : [];
  for (let { first, end } = xattrsOf(manifest, inode); first < end; first++) {
    const attribute = attributeOf(xattrName(manifest, first), xattrValue(manifest, first));
    if (attribute) list.push(attribute);
  }
  if (list.length === 0) return none;
  return { list, bytes: list.reduce((sum, attribute) => sum + entryBytes(attribute), XATTR_HEADER_BYTES) };
}

/** i_xattr_icount. */
export const attributeWords = ({ bytes }: Attributes): number => (bytes === 0 ? 0 : (bytes - XATTR_HEADER_BYTES) / 4 + 1);

export function writeAttributes({ list }: Attributes, target: Buffer, offset: number): void {
  let at = offset + XATTR_HEADER_BYTES; // which stays zero: nothing is shared, nothing filtered
  for (const attribute of list) {
    const { prefix, name, value } = attribute;
    target[at + xattrEntry.nameBytes] = name.length;
    target[at + xattrEntry.prefix] = prefix;
    target.writeUInt16LE(value.length, at + xattrEntry.valueBytes);
    name.copy(target, at + xattrEntry.sizeof);
    value.copy(target, at + xattrEntry.sizeof + name.length);
    at += entryBytes(attribute);
  }
}
