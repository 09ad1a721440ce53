// ⑧ What Ink does: it owns the terminal (alternate screen, raw mode, keys, pastes, lending it to a shell), and speaks to screen readers.
// For eyes terminal/painter.ts writes the rows: Ink's own way from rows to bytes took 16 of a frame's 18 ms at 200×50.

import { Text, useApp, useInput, useIsScreenReaderEnabled, usePaste } from "ink";
import { useEffect } from "react";
import { keysOf } from "../terminal/keyboard.ts";

/** Gives the terminal away for as long as `work` takes. */
export type LendTerminal = (work: () => Promise<void>) => Promise<void>;

interface ScreenProps {
  /** For screen readers. */
  rows: readonly string[];
  onKey(key: string): void;
  onPaste(text: string): void;
  onLend(lend: LendTerminal): void;
}

export function Screen({ rows, onKey, onPaste, onLend }: ScreenProps) {
  const { suspendTerminal } = useApp();
  useEffect(() => onLend((work) => suspendTerminal(work)), [onLend, suspendTerminal]);
  useInput((input, key) => {
    for (const name of keysOf(input, key)) onKey(name);
  });
  usePaste(onPaste);
  return useIsScreenReaderEnabled() ? <Text>{rows.join("\n")}</Text> : null;
}
