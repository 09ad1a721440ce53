"""Reads manifests as docs/image-format.md describes them, knowing nothing of hob's own code. Prints one JSON object a manifest."""

import json
import struct
import sys

FEATURES = {"special": 1, "attributes": 2, "configuration": 8, "chunks": 16}
UNKNOWN = ~(1 + 2 + 8 + 16)
piece_bytes = lambda size: 128 * 1024 if size <= 128 * 1024 * 1024 else 4 * 1024 * 1024


def text(data):
    """Names are bytes: what is no UTF-8 stands as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def read(data):
    assert data[:8] == b"hobimage"
    version, header_bytes, features = struct.unpack_from("<HHI", data, 8)
    assert version == 1 and header_bytes == 96 and features & UNKNOWN == 0
    inode_count, entry_count, digest_count, name_bytes = struct.unpack_from("<4I", data, 16)
    inodes_at, entries_at, digests_at, names_at = struct.unpack_from("<4I", data, 32)
    (total,) = struct.unpack_from("<I", data, 48)
    assert total == len(data) and data[84:96] == bytes(12)
    xattrs_at, xattr_count, chunked_at, chunked_count, chunks_at, chunk_count, config_at, config_bytes = struct.unpack_from("<8I", data, 52)

    # Without a gap, in the order of the document.
    sections = [(inodes_at, inode_count * 48), (entries_at, entry_count * 12), (digests_at, digest_count * 32)]
    sections += [(xattrs_at, xattr_count * 20)] if features & FEATURES["attributes"] else []
    sections += [(chunked_at, chunked_count * 16), (chunks_at, chunk_count * 32)] if features & FEATURES["chunks"] else []
    sections += [(names_at, name_bytes)]
    sections += [(config_at, config_bytes)] if features & FEATURES["configuration"] else []
    end = 96
    for at, size in sections:
        assert at == end
        end += size
    assert end == total

    names = data[names_at : names_at + name_bytes]
    digest = lambda at, index: data[at + index * 32 : at + index * 32 + 32].hex()
    xattrs = {}
    for index in range(xattr_count):
        inode, name, name_size, value, value_size = struct.unpack_from("<5I", data, xattrs_at + index * 20)
        xattrs.setdefault(inode, []).append([text(names[name : name + name_size]), names[value : value + value_size].hex()])
    chunked = {}
    for index in range(chunked_count):
        of, first, size = struct.unpack_from("<IIQ", data, chunked_at + index * 16)
        chunked[of] = [digest(chunks_at, first + piece) for piece in range(-(-size // piece_bytes(size)))]

    def describe(inode, path):
        mode, links, uid, gid, nanoseconds, _, seconds, size, first, count = struct.unpack_from("<6IqQII", data, inodes_at + inode * 48)
        kind = {0o4: "directory", 0o10: "file", 0o12: "symlink", 0o6: "block", 0o2: "character", 0o1: "fifo", 0o14: "socket"}[mode >> 12]
        found = {"path": path, "kind": kind, "mode": mode & 0o7777, "uid": uid, "gid": gid, "time": [seconds, nanoseconds]}
        found["links"] = links
        found["xattrs"] = xattrs.get(inode, [])
        if kind == "file":
            found.update(size=size, digest=digest(digests_at, first), chunks=chunked.get(first, []))
        elif kind == "symlink":
            found["target"] = text(names[first : first + size])
        elif kind in ("block", "character"):
            found["device"] = [first, count]
        return found, range(first, first + count) if kind == "directory" else ()

    entries = []
    waiting = [(0, "")]
    for inode, path in waiting:  # grows: breadth first
        found, listed = describe(inode, path)
        entries.append(found)
        for entry in listed:
            child, at, size = struct.unpack_from("<3I", data, entries_at + entry * 12)
            name = text(names[at : at + size])
            waiting.append((child, f"{path}/{name}" if path else name))

    config = {"user": "", "workdir": "", "env": []}
    if config_bytes:
        user, workdir, *env = data[config_at : config_at + config_bytes - 1].split(b"\0")
        config = {"user": text(user), "workdir": text(workdir), "env": [text(variable).split("=", 1) for variable in env]}
    return {"entries": entries, "config": config}


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        sys.stdout.write(json.dumps(read(file.read())) + "\n")
