// ⑧ The rows in Ink: one <Text> for each, drawn anew only when its text has changed.

import { Box, Text, useApp, useInput, usePaste } from "ink";
import { memo, useEffect } from "react";
import { keysOf } from "../terminal/keyboard.ts";

/** Gives the terminal away for as long as `work` takes. */
export type LendTerminal = (work: () => Promise<void>) => Promise<void>;

interface ScreenProps {
  rows: readonly string[];
  onKey(key: string): void;
  onPaste(text: string): void;
  onLend(lend: LendTerminal): void;
}

const Row = memo(({ text }: { text: string }) => <Text wrap="truncate">{text}</Text>);

export function Screen({ rows, onKey, onPaste, onLend }: ScreenProps) {
  const { suspendTerminal } = useApp();
  useEffect(() => onLend((work) => suspendTerminal(work)), [onLend, suspendTerminal]);
  useInput((input, key) => {
    for (const name of keysOf(input, key)) onKey(name);
  });
  usePaste(onPaste);
  return (
    <Box flexDirection="column" height={rows.length}>
      {rows.map((text, row) => (
        // A row is its place on the screen.
        // biome-ignore lint/suspicious/noArrayIndexKey: rows never move
        <Row key={row} text={text} />
      ))}
    </Box>
  );
}
