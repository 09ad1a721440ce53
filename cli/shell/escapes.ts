// ⑧ What is typed in a shell, without the escapes of ssh: at the start of a line ~. leaves, ~~ is one tilde. Pure but for its own state.

const tilde = 0x7e;
const dot = 0x2e;
const lineEnds = new Set([0x0d, 0x0a, 0x03, 0x04]); // after ctrl-C and ctrl-D a new line begins too

export interface Typed {
  data: Buffer;
  /** The person asked to leave; nothing after it counts. */
  leave: boolean;
}

export function createEscapes(): (input: Buffer) => Typed {
  let atStart = true;
  let held = false; // a tilde at the start of a line, of which we do not know yet what it means

  return (input) => {
    const out: number[] = [];
    for (const byte of input) {
      if (held) {
        held = false;
        if (byte === dot) return { data: Buffer.from(out), leave: true };
        out.push(tilde);
        atStart = false;
        if (byte === tilde) continue;
      } else if (atStart && byte === tilde) {
        held = true;
        continue;
      }
      out.push(byte);
      atStart = lineEnds.has(byte);
    }
    return { data: Buffer.from(out), leave: false };
  };
}
