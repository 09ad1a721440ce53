// ⑧ A line of JSON while it is being typed: what is wrong and where, what is still missing, and what stands at the cursor.

export type Place =
  | { kind: "start" }
  /** A parameter's name in the outer object; `typed` is what there is of it, from `from` to `to`. */
  | { kind: "name"; typed: string; from: number; to: number; used: readonly string[] }
  | { kind: "value"; name: string }
  | { kind: "position"; index: number }
  | { kind: "inside" };

export interface Scan {
  /** The first fault; what merely is not finished is none. */
  readonly fault: { at: number; expected: string } | undefined;
  /** What would close it, "" when it is whole. */
  readonly missing: string;
  readonly place: Place;
}

interface Open {
  readonly bracket: "[" | "{";
  index: number;
  name: string;
  names: string[];
}

type Expects = "value" | "value or end" | "name" | "name or end" | "colon" | "next" | "nothing";

const expectations: Record<Expects, string> = {
  value: "a value",
  "value or end": "a value or ]",
  name: 'a name in "quotes"',
  "name or end": 'a name in "quotes" or }',
  colon: ": after the name",
  next: "a comma or the closing bracket",
  nothing: "nothing more",
};

const token = /"(?:[^"\\]|\\.)*(?:"|\\?$)|[[\]{},:]|[^\s[\]{},:"]+/y;
const literal = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
const unfinishedLiteral = /^(?:-|-?\d+(?:\.\d*)?(?:[eE][+-]?\d*)?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)$/;

const isWhole = (text: string): boolean => text.length > 1 && /^"(?:[^"\\]|\\.)*"$/.test(text);
/** Escapes and control characters are JSON's own matter. */
function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
const unquoted = (text: string): string => text.replace(/^"/, "").replace(/"$/, "");

export function scanLine(text: string, cursor: number): Scan {
  const stack: Open[] = [];
  let expects: Expects = "value";
  let place: Place | undefined;
  let unfinished = "";
  let at = 0;

  const placeNow = (found: string, from: number): Place => {
    const top = stack.at(-1);
    if (!top) return { kind: "start" };
    if (stack.length > 1) return { kind: "inside" };
    if (top.bracket === "[") return { kind: "position", index: top.index };
    if (expects.startsWith("name")) {
      return {
        kind: "name",
        typed: unquoted(found.slice(0, cursor - from)),
        from,
        to: from + found.length,
        used: [...top.names],
      };
    }
    return { kind: "value", name: top.name };
  };
  const scanned = (fault?: Scan["fault"]): Scan => {
    const closing = stack.toReversed().map(({ bracket }) => (bracket === "[" ? "]" : "}"));
    const missing = unfinished + closing.join("") || (expects === "value" ? "a value" : "");
    return { fault, missing, place: place ?? placeNow("", cursor) };
  };
  const afterValue = (): Expects => (stack.length === 0 ? "nothing" : "next");

  while (at < text.length) {
    token.lastIndex = at;
    const found = token.exec(text)?.[0];
    if (found === undefined) {
      at += 1; // a space
      continue;
    }
    const end = at + found.length;
    const word = !/^[[\]{},:]$/.test(found);
    const last = end === text.length;
    if (!place && (cursor < end || (cursor === end && word)))
      place = word && cursor > at ? placeNow(found, at) : placeNow("", Math.min(cursor, at));
    const top = stack.at(-1);
    const wrong = (): Scan => scanned({ at, expected: expectations[expects] });
    if (isWhole(found) && !parses(found)) return scanned({ at, expected: "a text with JSON's escapes only" });
    if (found === "[" || found === "{") {
      if (!expects.startsWith("value")) return wrong();
      stack.push({ bracket: found, index: 0, name: "", names: [] });
      expects = found === "[" ? "value or end" : "name or end";
    } else if (found === "]" || found === "}") {
      const closes = top && (found === "]" ? top.bracket === "[" : top.bracket === "{");
      if (!closes || !(expects === "next" || expects.endsWith("or end"))) return wrong();
      stack.pop();
      expects = afterValue();
    } else if (found === ",") {
      if (expects !== "next" || !top) return wrong();
      top.index += 1;
      expects = top.bracket === "[" ? "value" : "name";
    } else if (found === ":") {
      if (expects !== "colon") return wrong();
      expects = "value";
    } else if (expects.startsWith("name")) {
      if (!found.startsWith('"')) return wrong();
      if (!isWhole(found)) unfinished = '"';
      if (top) {
        top.name = unquoted(found);
        top.names.push(top.name);
      }
      expects = "colon";
    } else if (expects.startsWith("value")) {
      if (found.startsWith('"') ? !isWhole(found) : !literal.test(found)) {
        if (!last || !(found.startsWith('"') || unfinishedLiteral.test(found))) return wrong();
        unfinished = found.startsWith('"') ? '"' : "…";
      }
      expects = afterValue();
    } else return wrong();
    at = end;
  }
  return scanned();
}
