// ⑧ Option values that count something.

import { InvalidArgumentError } from "commander";

export function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError("Write a whole number, 1 or more.");
}
