// ⑤ Numbers of the FUSE protocol and of the system calls beside it, with the kernel header that each comes from.

/** include/uapi/linux/fuse.h: what we speak. A kernel that offers another major is refused. */
export const FUSE_MAJOR = 7;
export const FUSE_MINOR = 45;

/** fuse.h, flags of INIT; those above bit 31 go, shifted, into `flags2`. */
export const initFlag = {
  asyncRead: 1 << 0,
  doReaddirplus: 1 << 13,
  parallelDirops: 1 << 18,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
  initExt: 1 << 30,
} as const;
export const initFlag2 = {
  passthrough: 1 << 5, // FUSE_PASSTHROUGH, 1 << 37
  hasResend: 1 << 7, // FUSE_HAS_RESEND, 1 << 39
  allowIdmap: 1 << 8, // FUSE_ALLOW_IDMAP, 1 << 40
} as const;

/** fuse.h, flags of an OPEN's answer. */
export const openFlag = { keepCache: 1 << 1, cacheDir: 1 << 3, noFlush: 1 << 5, passthrough: 1 << 7 } as const;

/** fuse.h, ioctls on /dev/fuse: _IOR(229, 0, u32), _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, u32). */
export const fuseIoctl = { clone: 0x8004e500, backingOpen: 0x4010e501, backingClose: 0x4004e502 } as const;

/** fuse.h, enum fuse_notify_code: in the place of an error, with unique 0. */
export const NOTIFY_INVAL_ENTRY = 3;
/** The kernel sends all again that was read and not answered, through whichever descriptor (Linux 6.9). */
export const NOTIFY_RESEND = 7;

/** include/uapi/linux/fs.h, asm-generic/errno*.h: the same on every architecture that Node runs on. */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  ENOTBLK: 15,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  ENOTTY: 25,
  EROFS: 30,
  ERANGE: 34,
  ENOSYS: 38,
  ELOOP: 40,
  ENODATA: 61,
  ECONNABORTED: 103,
  ESTALE: 116,
} as const;

/** include/uapi/linux/mount.h and fs/namespace.c. */
export const mountFlag = { readOnly: 1, noDev: 4 } as const;
export const MNT_DETACH = 2;

/** include/uapi/linux/eventpoll.h, eventfd.h. */
export const epoll = { ctlAdd: 1, ctlDel: 2, in: 1, exclusive: 1 << 28, cloexec: 0o2000000 } as const;
export const eventfdFlag = { nonblock: 0o4000, cloexec: 0o2000000 } as const;

/** include/uapi/linux/stat.h: the file type in a mode, and its dirent type (mode >> 12). */
export const fileType = {
  mask: 0o170000,
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  regular: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

/** Seconds for which the kernel may believe an entry or attribute that never changes: 34 years. */
export const FOREVER_SECONDS = 0x3fffffff;
