// ⑧ What commands print: tables for people, one JSON object a line for programs; quiet when the reader has gone.

import { type Column, formatTable } from "./format/table.ts";

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printTable(columns: Column[], rows: string[][]): void {
  for (const line of formatTable(columns, rows, process.stdout.columns ?? 0)) process.stdout.write(`${line}\n`);
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** NO_COLOR and FORCE_COLOR hold, else a terminal has colours. */
function hasColour(): boolean {
  if (process.env["NO_COLOR"]) return false;
  const forced = process.env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return process.stdout.isTTY === true && process.env["TERM"] !== "dumb";
}

const colours = { green: 32, yellow: 33, red: 31, dim: 2 } as const;

export function colour(name: keyof typeof colours, text: string): string {
  return hasColour() ? `\u001b[${colours[name]}m${text}\u001b[0m` : text;
}

/** `hob … | head` ends without a word: a closed pipe is no error of ours. */
export function endQuietlyOnClosedPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(process.exitCode ?? 0);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error; // nobody reads what we have to say; the work itself goes on
  });
}
