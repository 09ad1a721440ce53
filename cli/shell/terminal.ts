// ⑧ This terminal in raw mode for as long as a shell has it; whatever ends the process, it is given back.

/** Left behind by a full-screen program that was cut off: paste brackets, mouse, colours, alternate screen, hidden cursor. */
const reset = "\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[0m\x1b[?1049l\x1b[?25h";

export interface HeldTerminal extends Disposable {
  /** What ran in it ended in order: what it left on the screen is as it wanted. */
  inOrder(): void;
}

export function holdTerminal(): HeldTerminal {
  const { stdin, stdout } = process;
  const wasRaw = stdin.isRaw;
  let orderly = false;
  let held = true;
  const giveBack = (): void => {
    if (!held) return;
    held = false;
    try {
      stdin.setRawMode(wasRaw);
      if (!orderly) stdout.write(reset);
    } catch {
      // The terminal itself is gone: there is nothing left to give back.
    }
  };
  stdin.setRawMode(true);
  process.on("exit", giveBack);
  return {
    inOrder() {
      orderly = true;
    },
    [Symbol.dispose]() {
      process.off("exit", giveBack);
      giveBack();
    },
  };
}
