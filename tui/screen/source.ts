// ⑧ A line of source text in colours: words of the language, strings, comments. Of one line alone, so a string over several lines is plain.

import { type Line, line, type Span, type Style } from "./line.ts";

const words = {
  python:
    "and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return True try while with yield",
  typescript:
    "as async await break case catch class const continue default delete do else export extends false finally for function if import in instanceof interface let new null return satisfies static super switch this throw true try typeof undefined using var void while yield",
};

interface Language {
  readonly words: ReadonlySet<string>;
  /** Alternatives: a comment, a string that ends or goes to the end of the line, a word. */
  readonly tokens: RegExp;
}

const languages: Readonly<Record<keyof typeof words, Language>> = {
  python: {
    words: new Set(words.python.split(" ")),
    tokens:
      /(#.*)|((?<![\p{L}\p{N}_])[bfrtu]{0,2}(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$)))|([\p{L}_$][\p{L}\p{N}_$]*)/giu,
  },
  typescript: {
    words: new Set(words.typescript.split(" ")),
    tokens:
      /(\/\/.*|\/\*.*?(?:\*\/|$))|("(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$)|`(?:[^`\\]|\\.)*(?:`|$))|([\p{L}_$][\p{L}\p{N}_$]*)/gu,
  },
};

function languageOf(file: string): Language | undefined {
  if (/\.pyi?$/.test(file)) return languages.python;
  return /\.[cm]?[jt]sx?$/.test(file) ? languages.typescript : undefined;
}

/** `file` says which language it is; a line of another one is plain. */
export function sourceLine(text: string, file: string): Line {
  const spans = line(text);
  const [whole] = spans;
  const language = languageOf(file);
  if (!whole || !language) return spans;
  const parts: Span[] = [];
  let done = 0;
  const add = (to: number, style: Style): void => {
    if (to > done) parts.push({ text: whole.text.slice(done, to), style });
    done = to;
  };
  for (const { 0: token, 1: comment, 2: string, 3: word, index } of whole.text.matchAll(language.tokens)) {
    const style = comment ? "dim" : string ? "good" : word && language.words.has(word) ? "accent" : undefined;
    if (style === undefined) continue;
    add(index, "plain");
    add(index + token.length, style);
  }
  add(whole.text.length, "plain");
  return parts;
}
