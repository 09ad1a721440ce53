// ① Arguments typed as JSON on a command line: decoded, or refused with the place of the fault.

import { HobError } from "../base/errors.ts";

/** A JSON array. `what` names it for the message: "the arguments", "--args". */
export function parseArguments(text: string | undefined, what: string): unknown[] {
  if (text === undefined) return [];
  const value = parseJson(text, what);
  if (Array.isArray(value)) return value;
  const remedy = isObject(value) ? "give an object with --kwargs instead" : `write ${JSON.stringify([value])}`;
  throw new HobError("usage", `${what} must be a JSON array, one element for each positional parameter`, { remedy });
}

/** A function's arguments as the words of a command line: one JSON array, or none. */
export function oneArray(rest: string[]): unknown[] {
  const option = rest.find((text) => /^--?[a-z]/i.test(text));
  if (option)
    throw new HobError("usage", `unknown option ${option}`, {
      remedy: "arguments of a function are a JSON array, like '[1, \"two\"]'",
    });
  if (rest.length <= 1) return parseArguments(rest[0], "the arguments");
  throw new HobError("usage", "the arguments must be one JSON array", { remedy: "put it in quotes: '[1, \"two\"]'" });
}

/** A JSON object, by parameter name. */
export function parseKeywords(text: string | undefined, what: string): Record<string, unknown> {
  if (text === undefined) return {};
  const value = parseJson(text, what);
  if (isObject(value)) return value;
  throw new HobError("usage", `${what} must be a JSON object`, { remedy: `write for example '{"name": "value"}'` });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = faultPosition(text);
    const expected = position >= text.length ? "it ends too early" : `unexpected ${JSON.stringify([...text.slice(position)][0])}`;
    const remedy = /'/.test(text) ? "; JSON takes double quotes" : "";
    throw new HobError(
      "usage",
      `${what} is not JSON: ${expected} at character ${position + 1}${remedy}\n${pointAt(text, position)}`,
      {
        cause: error,
      },
    );
  }
}

/** The text's line with the fault, cut to a window, and a caret below it. */
function pointAt(text: string, position: number): string {
  const lineStart = text.lastIndexOf("\n", position - 1) + 1;
  const lineEnd = text.indexOf("\n", position);
  const from = Math.max(lineStart, position - 40);
  const shown = text.slice(from, Math.min(lineEnd < 0 ? text.length : lineEnd, position + 30)).replace(/\t/g, " ");
  return `    ${shown}\n    ${" ".repeat(position - from)}^`;
}

const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const space = /[ \t\r\n]*/y;

/**
 * Where a text stops being JSON, as an index; its length when it ends too early. JSON.parse says so only for some faults.
 * RFC 8259; a fault within a string counts as a fault at its first quote.
 */
export function faultPosition(text: string): number {
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) return false;
    at += found[0].length;
    return true;
  };
  const char = (wanted: string): boolean => {
    take(space);
    if (text[at] !== wanted) return false;
    at += 1;
    return true;
  };
  const list = (close: string, element: () => boolean): boolean => {
    if (char(close)) return true;
    do if (!element()) return false;
    while (char(","));
    return char(close);
  };
  const member = (): boolean => {
    take(space);
    return take(string) && char(":") && value();
  };
  const value = (): boolean => {
    take(space);
    if (text[at] === "[") {
      at += 1;
      return list("]", value);
    }
    if (text[at] === "{") {
      at += 1;
      return list("}", member);
    }
    return take(string) || take(scalar);
  };
  if (value()) take(space);
  return unterminatedString(text, at) ? text.length : at;
}

/** A string that is opened and never closed is a text that ends too early. */
function unterminatedString(text: string, at: number): boolean {
  return text[at] === '"' && !/^"(?:[^"\\]|\\.)*"/s.test(text.slice(at));
}
