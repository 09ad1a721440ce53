// ⑤ Extended attributes behind an EROFS inode: the image's own, and those that tell overlayfs where a file's content lies.

import { HobError } from "../../base/errors.ts";
import { DIGEST_BYTES, inodeWord, type Manifest, sizeOf, typeOf } from "../image/manifest.ts";
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
/** Of i_xattr_icount, which has 16 bits: with more of them the kernel would take values for what lies behind the attributes. */
const MOST_WORDS = 0xffff;
const ownOfOverlay = "trusted.overlay.";
const METACOPY: Attribute = { prefix: trusted, name: Buffer.from("overlay.metacopy"), value: Buffer.alloc(0) };
/** /ab/abcd…: a content's file in every folder of blobs. */
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

/** What a file with content has, whole but for the digits: written so for each of tens of thousands of files while a first start waits for them. */
const CONTENT_BYTES = entryBytes(METACOPY) + entryBytes(REDIRECT);
const contentTemplate = Buffer.alloc(CONTENT_BYTES);
writeAttribute(REDIRECT, contentTemplate, writeAttribute(METACOPY, contentTemplate, 0));
const digitsAt = entryBytes(METACOPY) + xattrEntry.sizeof + REDIRECT.name.length;
const hexDigits = Buffer.from("0123456789abcdef", "latin1");

/** Bytes of all attributes of an inode, their header included; 0 where there are none. */
export function attributeBytes(manifest: Manifest, inode: number): number {
  let bytes = hasContent(manifest, inode) ? CONTENT_BYTES : 0;
  if (manifest.xattrs.length > 0) for (const attribute of ownAttributes(manifest, inode)) bytes += entryBytes(attribute);
  if (bytes / 4 + 1 > MOST_WORDS) throw new HobError("exhausted", "the attributes of a file are too long together for EROFS");
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

/** Where a file's content lies. */
function writeContent({ digests, inodes }: Manifest, inode: number, target: Buffer, at: number): void {
  target.set(contentTemplate, at);
  const digest = (inodes[inode * inodeWord.sizeof + inodeWord.first] as number) * DIGEST_BYTES;
  let to = at + digitsAt + "/ab/".length;
  for (let from = digest; from < digest + DIGEST_BYTES; from++) {
    const byte = digests[from] as number;
    target[to++] = hexDigits[byte >>> 4] as number;
    target[to++] = hexDigits[byte & 15] as number;
  }
  target[at + digitsAt + 1] = target[at + digitsAt + "/ab/".length] as number;
  target[at + digitsAt + 2] = target[at + digitsAt + "/ab/".length + 1] as number;
}

/** Into zeros: the header stays as it is, as nothing is shared and nothing filtered. */
export function writeAttributes(manifest: Manifest, inode: number, target: Buffer, offset: number): void {
  let at = offset + XATTR_HEADER_BYTES;
  if (hasContent(manifest, inode)) {
    writeContent(manifest, inode, target, at);
    at += CONTENT_BYTES;
  }
  if (manifest.xattrs.length > 0)
    for (const attribute of ownAttributes(manifest, inode)) at = writeAttribute(attribute, target, at);
}
