// ⑧ What functions were called with, kept between sessions: one file, by function, latest first.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { inputsFile } from "../../base/paths.ts";

export type KeptInputs = Readonly<Record<string, readonly string[]>>;

const mostFunctions = 200;
const mostOfFunction = 50;
const mostCharacters = 20_000; // longer inputs live as long as the session

/** Nothing where there is no file, or none that can be read: what is lost then is a convenience. */
export function readInputs(): KeptInputs {
  try {
    const kept = JSON.parse(readFileSync(inputsFile(), "utf8")) as unknown;
    if (typeof kept !== "object" || kept === null) return {};
    const lists = Object.entries(kept).filter(
      ([, list]) => Array.isArray(list) && list.every((text) => typeof text === "string"),
    );
    return Object.fromEntries(lists) as KeptInputs;
  } catch {
    return {};
  }
}

/** Another session may have written meanwhile: its other functions stay as they are. Throws where the file cannot be written. */
export function keepInputs(functionKey: string, inputs: readonly string[]): void {
  const { [functionKey]: _, ...others } = readInputs();
  const own = inputs.filter((text) => text.length <= mostCharacters).slice(0, mostOfFunction);
  const kept = Object.fromEntries([[functionKey, own] as const, ...Object.entries(others)].slice(0, mostFunctions));
  const file = inputsFile();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(kept), { mode: 0o600 });
  renameSync(temporary, file);
}
