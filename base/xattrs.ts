// Extended attributes, which Node cannot read: through koffi, by paths of any bytes, links not followed.

import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { textOfBytes } from "./byte-text.ts";
import { HobError } from "./errors.ts";

const libc = koffi.load(null); // what the process itself is linked against: glibc or musl
const llistxattr = libc.func("int64_t llistxattr(const void *path, void *list, size_t bytes)");
const lgetxattr = libc.func("int64_t lgetxattr(const void *path, const void *name, void *value, size_t bytes)");
const lsetxattr = libc.func("int lsetxattr(const void *path, const void *name, const void *value, size_t bytes, int flags)");

/** XATTR_LIST_MAX and XATTR_SIZE_MAX, include/uapi/linux/limits.h. */
const MOST_BYTES = 65_536;
const list = Buffer.alloc(MOST_BYTES);
const value = Buffer.alloc(MOST_BYTES);
const EOPNOTSUPP = 95;

const terminated = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(1)]);

function checked(result: number, call: string, path: Uint8Array): number {
  if (result >= 0) return result;
  throw new HobError("unavailable", `${call} ${textOfBytes(path)}: ${getSystemErrorName(-koffi.errno())}`);
}

/** All attributes of what lies at `path`, by name; undefined where there is none. Needs root for trusted.*. */
export function readXattrs(path: Uint8Array): Map<string, Buffer> | undefined {
  const at = terminated(path);
  const bytes = Number(llistxattr(at, list, list.length));
  if (bytes === 0 || (bytes < 0 && koffi.errno() === EOPNOTSUPP)) return undefined;
  const xattrs = new Map<string, Buffer>();
  const names = Buffer.from(list.subarray(0, checked(bytes, "listing the attributes of", path)));
  for (let from = 0; from < names.length; ) {
    const end = names.indexOf(0, from);
    const count = Number(lgetxattr(at, names.subarray(from, end + 1), value, value.length));
    xattrs.set(
      textOfBytes(names.subarray(from, end)),
      Buffer.from(value.subarray(0, checked(count, "reading an attribute of", path))),
    );
    from = end + 1;
  }
  return xattrs;
}

export function writeXattr(path: Uint8Array, name: string, data: Uint8Array): void {
  checked(
    lsetxattr(terminated(path), terminated(Buffer.from(name)), data, data.length, 0),
    `setting the attribute ${name} of`,
    path,
  );
}
