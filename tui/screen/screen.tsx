// ⑧ What Ink does: it owns the terminal (alternate screen, raw mode, keys, pastes, lending it to a shell), and speaks to screen readers.
// For eyes terminal/painter.ts writes the rows: Ink's own way from rows to bytes took 16 of a frame's 18 ms at 200×50.

import { type Instance, render, Text, useApp, useInput, useIsScreenReaderEnabled, usePaste } from "ink";
import { useEffect } from "react";
import { keysOf } from "../terminal/keyboard.ts";

/** Gives the terminal away for as long as `work` takes. */
export type LendTerminal = (work: () => Promise<void>) => Promise<void>;

export interface ScreenProps {
  /** For screen readers. */
  rows: readonly string[];
  onKey(key: string): void;
  onPaste(text: string): void;
  onLend(lend: LendTerminal): void;
}

function Screen({ rows, onKey, onPaste, onLend }: ScreenProps) {
  const { suspendTerminal } = useApp();
  useEffect(() => onLend((work) => suspendTerminal(work)), [onLend, suspendTerminal]);
  useInput((input, key) => {
    for (const name of keysOf(input, key)) onKey(name);
  });
  usePaste(onPaste);
  return useIsScreenReaderEnabled() ? <Text>{rows.join("\n")}</Text> : null;
}

const inkOptions = { alternateScreen: true, interactive: true, patchConsole: false, exitOnCtrlC: false } as const;

/** Gives Ink the terminal; what it is given anew goes to screen readers. */
export function mount(
  props: ScreenProps,
  { stdin, stdout }: { stdin: NodeJS.ReadStream; stdout: NodeJS.WriteStream },
): { instance: Instance; tell(rows: readonly string[]): void } {
  const instance = render(<Screen {...props} />, { ...inkOptions, stdin, stdout });
  return { instance, tell: (rows) => instance.rerender(<Screen {...props} rows={rows} />) };
}
