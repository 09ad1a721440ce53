// ⑧ What Ink does: it owns the terminal (alternate screen, raw mode, keys, pastes, lending it to a shell), and speaks to screen readers.
// For eyes terminal/painter.ts writes the rows: Ink's own way from rows to bytes took 16 of a frame's 18 ms at 200×50.

import { type Instance, render, Text, useApp, useInput, useIsScreenReaderEnabled, usePaste, useStdout } from "ink";
import { useEffect } from "react";
import { keysOf } from "../terminal/keyboard.ts";

/** Gives the terminal away for as long as `work` takes. */
export type LendTerminal = (work: () => Promise<void>) => Promise<void>;

/** Lines that are told once, above what changes in place. */
export type Speak = (lines: readonly string[]) => void;

export interface ScreenProps {
  /** For screen readers: the one line that changes in place. */
  prompt: string;
  onSpeak(speak: Speak): void;
  onKey(key: string): void;
  onPaste(text: string): void;
  onLend(lend: LendTerminal): void;
}

function Screen({ prompt, onSpeak, onKey, onPaste, onLend }: ScreenProps) {
  const { suspendTerminal } = useApp();
  const { write } = useStdout();
  useEffect(() => onSpeak((lines) => write(lines.map((text) => `${text}\n`).join(""))), [onSpeak, write]);
  useEffect(() => onLend((work) => suspendTerminal(work)), [onLend, suspendTerminal]);
  useInput((input, key) => {
    for (const name of keysOf(input, key)) onKey(name);
  });
  usePaste(onPaste);
  return useIsScreenReaderEnabled() ? <Text>{prompt}</Text> : null;
}

const inkOptions = { interactive: true, patchConsole: false, exitOnCtrlC: false } as const;

/** Gives Ink the terminal; what it is given anew goes to screen readers. */
export function mount(
  props: ScreenProps,
  { stdin, stdout, aloud }: { stdin: NodeJS.ReadStream; stdout: NodeJS.WriteStream; aloud: boolean },
): { instance: Instance; tell(prompt: string): void } {
  // What is told to a screen reader stays, to be read once more.
  const instance = render(<Screen {...props} />, { ...inkOptions, alternateScreen: !aloud, stdin, stdout });
  return { instance, tell: (prompt) => instance.rerender(<Screen {...props} prompt={prompt} />) };
}
