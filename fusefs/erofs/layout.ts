// ⑤ EROFS on disk, as far as names and attributes need it: offsets and numbers (the kernel's fs/erofs/erofs_fs.h). All little-endian.

/** Blocks of 4 KiB: every kernel with EROFS takes them. */
export const BLOCK_BYTES = 4096;
export const BLOCK_BITS = 12;

/** The superblock lies at this offset; inodes begin behind it, in the same block. */
export const SUPERBLOCK_OFFSET = 1024;
export const superblock = {
  magic: 0x00,
  compatible: 0x08,
  blockBits: 0x0c, // u8
  rootNid: 0x0e, // u16
  inodeCount: 0x10, // u64
  buildSeconds: 0x18, // u64
  blocks: 0x24,
  metaBlock: 0x28, // inode NID lies at metaBlock * BLOCK_BYTES + NID * SLOT_BYTES
  incompatible: 0x50,
  sizeof: 128,
} as const;

export const MAGIC = 0xe0f5_e1e2;
/** EROFS_FEATURE_COMPAT_MTIME, EROFS_FEATURE_INCOMPAT_CHUNKED_FILE. */
export const FEATURE_MTIME = 2;
export const FEATURE_CHUNKED_FILE = 4;

/** Inodes begin at multiples of this, and are named by their number of slots. */
export const SLOT_BYTES = 32;

/** struct erofs_inode_extended: the form with nanoseconds and 32 bits of owner. Extended attributes follow, then the tail or the chunks. */
export const inodeField = {
  format: 0x00, // u16
  xattrCount: 0x02, // u16: 0, or 1 and the 32-bit words behind the attributes' header
  mode: 0x04, // u16
  size: 0x08, // u64
  /** Block of a directory's or a symlink's data; a device's number; a chunked file's format. */
  union: 0x10,
  number: 0x14,
  uid: 0x18,
  gid: 0x1c,
  mtime: 0x20, // i64
  mtimeNanoseconds: 0x28,
  linkCount: 0x2c,
  sizeof: 64,
} as const;

/** i_format: extended inode, and where the data lies. */
export const format = {
  plain: 1 | (0 << 1), // blocks of their own
  inline: 1 | (2 << 1), // the last, partial block right behind the inode, in the inode's own block
  chunked: 1 | (4 << 1),
} as const;

/**
 * A regular file is one chunk that is not there: a chunk has up to 2^31 blocks (EROFS_CHUNK_FORMAT_BLKBITS_MASK), 8 TiB, and more of them where
 * that is not enough.
 */
export const CHUNK_FORMAT = 31;
export const CHUNK_BYTES = BLOCK_BYTES * 2 ** CHUNK_FORMAT;
export const NO_BLOCK = 0xffff_ffff; // EROFS_NULL_ADDR

export const dirent = { nid: 0, nameOffset: 8, type: 10, sizeof: 12 } as const;

/** Type of a directory entry by st_mode >> 12: FT_FIFO, FT_CHRDEV, FT_DIR … of include/linux/fs_types.h. */
export const direntTypes: Readonly<Record<number, number>> = { 1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7, 12: 6 };

/** struct erofs_xattr_ibody_header: name filter, number of shared attributes; we use neither. */
export const XATTR_HEADER_BYTES = 12;
/** struct erofs_xattr_entry: u8 length of the name, u8 prefix, u16 length of the value; name and value follow, padded to 4. */
export const xattrEntry = { nameBytes: 0, prefix: 1, valueBytes: 2, sizeof: 4 } as const;
export const xattrPrefixes: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
];
