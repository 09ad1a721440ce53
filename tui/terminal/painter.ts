// ⑧ Rows onto the terminal: what has changed since the last frame, in one write that terminals show at once.

// The terminal shows nothing between the two (synchronised output; others ignore it).
const begin = "\x1b[?2026h";
const end = "\x1b[?2026l";
const reset = "\x1b[0m";

const link = "\x1b]8;";

const sgr = /\x1b\[[\d;]*m/g;

export interface Painter {
  /** Rows of exactly the terminal's width, one cell a UTF-16 unit between their SGR sequences and links, each closed within its row. */
  paint(rows: readonly string[]): void;
  /** The terminal no longer shows what was painted last: the next frame is written whole. */
  forget(): void;
}

/** The part of a row that changed, with where to put it; empty when nothing did. */
function rowUpdate(before: string | undefined, after: string, row: number): string {
  if (before === after) return "";
  // A row with a link is rare, and its sequences are of another kind.
  if (before === undefined || before.includes(link) || after.includes(link)) return `\x1b[${row + 1};1H${after}`;
  const { from, column, style } = commonStart(before, after);
  return `\x1b[${row + 1};${column + 1}H${style}${after.slice(from, commonEnd(before, after, from))}`;
}

/** Up to where both rows are alike: the index, the column there, and the SGR sequence that is in force. */
function commonStart(before: string, after: string): { from: number; column: number; style: string } {
  let from = 0;
  while (from < before.length && from < after.length && before.charCodeAt(from) === after.charCodeAt(from)) from += 1;
  let hidden = 0;
  let style = "";
  for (const { 0: sequence, index } of after.slice(0, from + 16).matchAll(sgr)) {
    if (index >= from) break;
    if (index + sequence.length > from) {
      from = index; // they differ within it
      break;
    }
    hidden += sequence.length;
    style = sequence === reset ? "" : sequence;
  }
  return { from, column: from - hidden, style };
}

/** From where on both rows are alike again: after a reset, where both have the same style, and never before `from`. */
function commonEnd(before: string, after: string, from: number): number {
  const most = Math.min(before.length, after.length) - from;
  let same = 0;
  while (same < most && before.charCodeAt(before.length - 1 - same) === after.charCodeAt(after.length - 1 - same)) same += 1;
  const at = after.indexOf(reset, after.length - same);
  return at < 0 ? after.length : at + reset.length;
}

export function createPainter(write: (text: string) => void): Painter {
  let shown: readonly string[] = [];
  return {
    paint(rows) {
      let changed = "";
      for (const [row, text] of rows.entries()) changed += rowUpdate(shown[row], text, row);
      shown = rows;
      if (changed !== "") write(begin + changed + end);
    },
    forget() {
      shown = [];
    },
  };
}

const alternateScreen = "\x1b[?1049h";

/** The alternate screen without a cursor, keys unechoed. Ink does the same later, and gives all of it back. */
export function enterScreen(stdin: NodeJS.ReadStream, stdout: NodeJS.WriteStream): void {
  stdin.setRawMode(true);
  stdout.write(`${alternateScreen}\x1b[?25l`);
}

const modes = /\x1b\[\?[\d;]+[hl]|\x1b\[[<>]\d*u/g;

/**
 * A terminal for Ink while it draws nothing: of its writes only those that set a mode of the terminal (screens, cursor, paste, keyboard) pass, and of those
 * not the first that enters the alternate screen: a frame is there already, which entering again would clear.
 */
export function modesOnly(terminal: NodeJS.WriteStream): NodeJS.WriteStream {
  let entered = false;
  const passes = (mode: string): boolean => {
    if (entered || mode !== alternateScreen) return true;
    entered = true;
    return false;
  };
  const write = (text: string | Uint8Array, ...rest: unknown[]): boolean => {
    const done = rest.find((item) => typeof item === "function") as ((error?: Error | null) => void) | undefined;
    return terminal.write((String(text).match(modes) ?? []).filter(passes).join(""), done);
  };
  return new Proxy(terminal, {
    get(target, name) {
      if (name === "write") return write;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
