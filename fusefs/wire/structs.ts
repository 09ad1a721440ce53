// ⑤ The FUSE structs that cross /dev/fuse, as byte offsets; every size is checked at start. Source: include/uapi/linux/fuse.h, 7.45.

type Width = 2 | 4 | 8;

/** Offsets of the fields, in order. `sizeBytes` is sizeof() in the kernel's header: a field forgotten or of a wrong width throws at start. */
function struct<const F extends Record<string, Width | readonly [count: number, width: Width]>>(
  name: string,
  sizeBytes: number,
  fields: F,
): Readonly<Record<keyof F, number>> & { readonly sizeof: number } {
  let offset = 0;
  const offsets: Record<string, number> = {};
  for (const [field, shape] of Object.entries(fields)) {
    const [count, width] = typeof shape === "number" ? [1, shape] : shape;
    if (offset % width !== 0) throw new Error(`struct ${name}: field ${field} is not aligned`);
    offsets[field] = offset;
    offset += count * width;
  }
  if (offset !== sizeBytes)
    throw new Error(`struct ${name}: the fields fill ${offset} bytes, the kernel's struct has ${sizeBytes}`);
  return Object.freeze({ ...(offsets as Record<keyof F, number>), sizeof: sizeBytes });
}

export const inHeader = struct("fuse_in_header", 40, {
  len: 4,
  opcode: 4,
  unique: 8,
  nodeid: 8,
  uid: 4,
  gid: 4,
  pid: 4,
  totalExtlen: 2,
  padding: 2,
});

export const outHeader = struct("fuse_out_header", 16, { len: 4, error: 4, unique: 8 });

export const initIn = struct("fuse_init_in", 64, {
  major: 4,
  minor: 4,
  maxReadahead: 4,
  flags: 4,
  flags2: 4,
  unused: [11, 4],
});

export const initOut = struct("fuse_init_out", 64, {
  major: 4,
  minor: 4,
  maxReadahead: 4,
  flags: 4,
  maxBackground: 2,
  congestionThreshold: 2,
  maxWrite: 4,
  timeGran: 4,
  maxPages: 2,
  mapAlignment: 2,
  flags2: 4,
  maxStackDepth: 4,
  requestTimeout: 2,
  unused: [11, 2],
});

export const attr = struct("fuse_attr", 88, {
  ino: 8,
  size: 8,
  blocks: 8,
  atime: 8,
  mtime: 8,
  ctime: 8,
  atimensec: 4,
  mtimensec: 4,
  ctimensec: 4,
  mode: 4,
  nlink: 4,
  uid: 4,
  gid: 4,
  rdev: 4,
  blksize: 4,
  flags: 4,
});

/** Followed by a fuse_attr. */
export const entryOut = struct("fuse_entry_out", 40, {
  nodeid: 8,
  generation: 8,
  entryValid: 8,
  attrValid: 8,
  entryValidNsec: 4,
  attrValidNsec: 4,
});

/** Followed by a fuse_attr. */
export const attrOut = struct("fuse_attr_out", 16, { attrValid: 8, attrValidNsec: 4, dummy: 4 });

export const openIn = struct("fuse_open_in", 8, { flags: 4, openFlags: 4 });
export const openOut = struct("fuse_open_out", 16, { fh: 8, openFlags: 4, backingId: 4 });
export const readIn = struct("fuse_read_in", 40, {
  fh: 8,
  offset: 8,
  size: 4,
  readFlags: 4,
  lockOwner: 8,
  flags: 4,
  padding: 4,
});
/** Of GETXATTR, followed by the name and a NUL; of LISTXATTR. */
export const getxattrIn = struct("fuse_getxattr_in", 8, { size: 4, padding: 4 });
export const releaseIn = struct("fuse_release_in", 24, { fh: 8, flags: 4, releaseFlags: 4, lockOwner: 8 });
export const interruptIn = struct("fuse_interrupt_in", 8, { unique: 8 });

/** Followed by the name, padded to 8 bytes. */
export const dirent = struct("fuse_dirent", 24, { ino: 8, off: 8, namelen: 4, type: 4 });

export const statfsOut = struct("fuse_statfs_out", 80, {
  blocks: 8,
  bfree: 8,
  bavail: 8,
  files: 8,
  ffree: 8,
  bsize: 4,
  namelen: 4,
  frsize: 4,
  padding: 4,
  spare: [6, 4],
});

/** Followed by the name and a NUL. */
export const notifyInvalEntryOut = struct("fuse_notify_inval_entry_out", 16, { parent: 8, namelen: 4, flags: 4 });

export const backingMap = struct("fuse_backing_map", 16, { fd: 4, flags: 4, padding: 8 });
