// ③ How long an embedded pool stays after its last client: --linger, else HOB_LINGER_MS, else half a minute.

import { HobError } from "../base/errors.ts";

const defaultLingerMs = 30_000;

/** From the text of --linger, in seconds. */
export function lingerMs(seconds: string | undefined): number {
  const fromEnvironment = process.env["HOB_LINGER_MS"];
  if (seconds !== undefined) return numberIn(seconds, "--linger", "seconds", "60") * 1000;
  if (fromEnvironment) return numberIn(fromEnvironment, "HOB_LINGER_MS", "milliseconds", "60000");
  return defaultLingerMs;
}

function numberIn(text: string, source: string, unit: string, example: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0) return value;
  throw new HobError("usage", `${source} "${text}" is no number of ${unit}`, { remedy: `write for example ${example}` });
}
