// ⑧ What Ink does: it owns the terminal (alternate screen, raw mode, keys, pastes, lending it to a shell), and speaks to screen readers.
// For eyes terminal/painter.ts writes the rows: Ink's own way from rows to bytes took 16 of a frame's 18 ms at 200×50.

import { type Instance, render, Text, useApp, useInput, useIsScreenReaderEnabled, usePaste, useStdin } from "ink";
import { useEffect, useRef } from "react";
import { keysOf } from "../terminal/keyboard.ts";

/** Gives the terminal away for as long as `work` takes. */
export type LendTerminal = (work: () => Promise<void>) => Promise<void>;

export interface ScreenProps {
  /** For screen readers. */
  rows: readonly string[];
  onKey(key: string): void;
  onPaste(text: string): void;
  onFocus(focused: boolean): void;
  onLend(lend: LendTerminal): void;
}

/** What a terminal says when it gets the keyboard and when it loses it. */
const focusReports = new Map([
  ["\x1b[I", true],
  ["\x1b[O", false],
]);

/** Ink's input before it is taken for keys: there a report could be told from no "[" and "I" that were typed fast. */
interface RawInput {
  internal_eventEmitter: {
    on(event: "input", hear: (data: string) => void): void;
    off(event: "input", hear: (data: string) => void): void;
  };
}

function Screen({ rows, onKey, onPaste, onFocus, onLend }: ScreenProps) {
  const { suspendTerminal } = useApp();
  const { internal_eventEmitter: input } = useStdin() as unknown as RawInput;
  const report = useRef(false);
  // Before useInput, so that this hears first.
  useEffect(() => {
    const hear = (data: string): void => {
      const focused = focusReports.get(data);
      report.current = focused !== undefined;
      if (focused !== undefined) onFocus(focused);
    };
    input.on("input", hear);
    return () => input.off("input", hear);
  }, [input, onFocus]);
  useEffect(() => onLend((work) => suspendTerminal(work)), [onLend, suspendTerminal]);
  useInput((input, key) => {
    if (!report.current) for (const name of keysOf(input, key)) onKey(name);
  });
  usePaste(onPaste);
  return useIsScreenReaderEnabled() ? <Text>{rows.join("\n")}</Text> : null;
}

const inkOptions = { alternateScreen: true, interactive: true, patchConsole: false, exitOnCtrlC: false } as const;

/** Gives Ink the terminal; what it is given anew goes to screen readers. */
export function mount(
  props: ScreenProps,
  stdout: NodeJS.WriteStream,
): { instance: Instance; tell(rows: readonly string[]): void } {
  const instance = render(<Screen {...props} />, { ...inkOptions, stdout });
  return { instance, tell: (rows) => instance.rerender(<Screen {...props} rows={rows} />) };
}
