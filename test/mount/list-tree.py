"""Prints a tree as a list of rows, in JSON: all that lstat and the extended attributes tell. Bytes that are no UTF-8 are lone surrogates."""

import json
import os
import stat
import sys


def row(root, path):
    full = os.path.join(root, path) if path else root
    s = os.lstat(full)
    is_directory = stat.S_ISDIR(s.st_mode)
    return {
        "path": path,
        "mode": oct(s.st_mode),
        "owner": f"{s.st_uid}:{s.st_gid}",
        "links": None if is_directory else s.st_nlink,
        "size": None if is_directory else s.st_size,
        "mtime": str(s.st_mtime_ns),
        "device": f"{os.major(s.st_rdev)}:{os.minor(s.st_rdev)}",
        "target": os.readlink(full) if stat.S_ISLNK(s.st_mode) else None,
        "inode": s.st_ino,
        "xattrs": {n: os.getxattr(full, n, follow_symlinks=False).hex() for n in sorted(os.listxattr(full, follow_symlinks=False))},
    }


def paths(root):
    yield ""
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            yield os.path.relpath(os.path.join(folder, name), root)


print(json.dumps([[row(root, path) for path in paths(root)] for root in sys.argv[1:]]))
