// ⑤ How a worker reads what has arrived of a blob that is not whole yet (base/partial-blob.ts). Never waits for anybody.

import { constants, fstatSync } from "node:fs";
import { partialMapPath, partialPath, pieceBytesOf } from "../base/partial-blob.ts";
import { close, lastErrno, open, pread } from "./syscalls.ts";
import { errno } from "./wire/constants.ts";

interface PartialFile {
  fd: number;
  arrived: Buffer; // 1 for each piece that is here; what has arrived stays in this file
}

export interface PartialFiles {
  /** Bytes read, or a negative errno: -ENOENT when a piece of that range is not here. */
  read(digest: string, sizeBytes: number, target: Buffer, bytes: number, offset: number): number;
  /** Of the pieces in a range, those that are not here. */
  missing(digest: string, sizeBytes: number, offset: number, bytes: number): number[];
}

const READ = constants.O_RDONLY | 0o2000000; // O_CLOEXEC
const KEPT = 16;

export function createPartialFiles(store: string): PartialFiles {
  const kept = new Map<string, PartialFile>();

  function forget(digest: string): void {
    const file = kept.get(digest);
    if (file) close(file.fd);
    kept.delete(digest);
  }

  function readMap(digest: string): Buffer | undefined {
    const fd = open(partialMapPath(store, digest), READ);
    if (fd < 0) return undefined;
    const map = Buffer.alloc(fstatSync(fd).size);
    const bytes = pread(fd, map, map.length, 0);
    close(fd);
    return bytes === map.length ? map : undefined;
  }

  /** File and map as they are now. */
  function look(digest: string): PartialFile | undefined {
    forget(digest);
    const fd = open(partialPath(store, digest), READ);
    if (fd < 0) return undefined;
    const arrived = readMap(digest);
    // The map goes before its file, and comes after it: with the file still there, both belong together.
    if (!arrived || fstatSync(fd).nlink === 0) {
      close(fd);
      return undefined;
    }
    const file = { fd, arrived };
    kept.set(digest, file);
    if (kept.size > KEPT) forget(kept.keys().next().value as string);
    return file;
  }

  const has = (file: PartialFile, pieces: readonly number[]): boolean => pieces.every((piece) => file.arrived[piece] === 1);

  function piecesOf(sizeBytes: number, offset: number, bytes: number): number[] {
    const pieces: number[] = [];
    const pieceBytes = pieceBytesOf(sizeBytes);
    for (let piece = Math.floor(offset / pieceBytes); piece * pieceBytes < offset + bytes; piece++) pieces.push(piece);
    return pieces;
  }

  return {
    read(digest, sizeBytes, target, bytes, offset) {
      const pieces = piecesOf(sizeBytes, offset, bytes);
      let file = kept.get(digest);
      if (!file || !has(file, pieces)) file = look(digest);
      if (!file || !has(file, pieces)) return -errno.ENOENT;
      const count = pread(file.fd, target, bytes, offset);
      return count < 0 ? -lastErrno() : count;
    },
    missing(digest, sizeBytes, offset, bytes) {
      const file = kept.get(digest);
      return piecesOf(sizeBytes, offset, Math.min(bytes, sizeBytes - offset)).filter((piece) => file?.arrived[piece] !== 1);
    },
  };
}
