// ② TypeScript to JavaScript of the same lines and columns: types become blanks.

import { stripTypeScriptTypes } from "node:module";

/** Throws for syntax that is more than types. */
export function stripTypes(source: string): string {
  // Node calls it an experiment at its first use, on the terminal that the screen has.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
