// ① Local entries on the command line: which function is one, and its arguments (`--limit 3 --no-cache` is entry(limit=3, cache=False)).

import { HobError } from "../base/errors.ts";

/** Whether Python source has `@….local()` right above `def NAME`, other decorators aside: enough to choose between here and the pool. */
export function declaresEntry(source: string, name: string): boolean {
  const decorated = /^@[\w.]+\.local\(\s*\)[^\n]*\n(?:[@#][^\n]*\n|\s*\n)*(?:async\s+)?def\s+(\w+)/gm;
  return [...source.matchAll(decorated)].some(([, found]) => found === name);
}

interface EntryArguments {
  positional: unknown[];
  keywords: Record<string, unknown>;
}

/** A value that is JSON is taken as such, anything else as text. A flag that no value follows is true. */
export function entryArguments(words: string[]): EntryArguments {
  const positional: unknown[] = [];
  const keywords: Record<string, unknown> = {};
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const flag = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(word);
    if (!flag) {
      positional.push(decoded(word));
      continue;
    }
    const [, name = "", value] = flag;
    const parameter = name.replaceAll("-", "_");
    const negated = value === undefined && parameter.startsWith("no_") ? parameter.slice("no_".length) : undefined;
    const key = negated ?? parameter;
    if (Object.hasOwn(keywords, key)) throw new HobError("usage", `--${name} is given twice`);
    keywords[key] = negated === undefined ? (value === undefined ? nextValue(rest) : decoded(value)) : false;
  }
  if (positional.length > 0 && Object.keys(keywords).length > 0) {
    throw new HobError("usage", "a local entry takes flags or bare values, not both", { remedy: "name each as a flag" });
  }
  return { positional, keywords };
}

function nextValue(rest: string[]): unknown {
  const next = rest[0];
  if (next === undefined || /^--[A-Za-z]/.test(next)) return true;
  rest.shift();
  return decoded(next);
}

function decoded(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // not JSON: the text itself is meant
  }
}
