// ④ JSON whose numbers stay as they were written: integers beyond 2^53 are somebody's ids. Pure.

/** ECMAScript 2025: what was written, and text that is written as it stands (V8 since 11.4). */
declare global {
  interface JSON {
    rawJSON(text: string): unknown;
    parse(text: string, reviver: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  }
}

const longNumber = /\d{16}|\d[eE]/;

export function parseExact(text: string): unknown {
  if (!longNumber.test(text)) return JSON.parse(text) as unknown;
  return JSON.parse(text, (_key, value, { source }) =>
    typeof value === "number" && source !== undefined && String(value) !== source ? JSON.rawJSON(source) : value,
  );
}
