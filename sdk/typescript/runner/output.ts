// ⑥ A process's stdout or stderr, cut at line ends with bounded memory.

/** A longer line is cut here; the rest of it is dropped and counted. */
const maxLineBytes = 64 << 10;
const newline = 10;

/** Whole lines, joined by newlines; `dropped` counts the bytes lost just before them. */
export interface Lines {
  dropped: number;
  text: Buffer;
}

export interface LineCutter {
  feed(data: Buffer): Lines[];
  /** What has no newline yet: given out when the call that wrote it ends. */
  flush(): Lines[];
  /** Bytes dropped since the lines given out last; taking the count resets it. */
  takeDropped(): number;
  drop(bytes: number): void;
}

export function createLineCutter(): LineCutter {
  let partial: Buffer = Buffer.alloc(0);
  let skipping = false; // within the rest of a line that was cut
  let dropped = 0;

  const takeDropped = (): number => {
    const bytes = dropped;
    dropped = 0;
    return bytes;
  };

  /** Lines found in `text` (no newline at its end); those too long are cut, each then ends a group. */
  function cut(text: Buffer): Lines[] {
    const groups: Lines[] = [];
    let from = 0;
    for (let at = 0; at <= text.byteLength; ) {
      const found = text.indexOf(newline, at);
      const end = found < 0 ? text.byteLength : found;
      if (end - at > maxLineBytes) {
        groups.push({ dropped: takeDropped(), text: text.subarray(from, at + maxLineBytes) });
        dropped = end - at - maxLineBytes;
        from = end + 1;
      }
      at = end + 1;
    }
    if (from <= text.byteLength) groups.push({ dropped: takeDropped(), text: text.subarray(from) });
    return groups;
  }

  function feed(data: Buffer): Lines[] {
    let rest = data;
    if (skipping) {
      const end = rest.indexOf(newline);
      dropped += end < 0 ? rest.byteLength : end;
      if (end < 0) return [];
      skipping = false;
      rest = rest.subarray(end + 1);
    }
    const groups: Lines[] = [];
    const last = rest.lastIndexOf(newline);
    if (last >= 0) {
      groups.push(...cut(partial.byteLength > 0 ? Buffer.concat([partial, rest.subarray(0, last)]) : rest.subarray(0, last)));
      partial = Buffer.alloc(0);
      rest = rest.subarray(last + 1);
    }
    if (rest.byteLength > 0) partial = Buffer.concat([partial, rest]);
    if (partial.byteLength > maxLineBytes) {
      groups.push(...cut(partial));
      partial = Buffer.alloc(0);
      skipping = true;
    }
    return groups;
  }

  return {
    feed,
    flush() {
      const groups = partial.byteLength > 0 ? cut(partial) : [];
      partial = Buffer.alloc(0);
      skipping = false;
      return groups;
    },
    takeDropped,
    drop(bytes) {
      dropped += bytes;
    },
  };
}
