// ⑧ The input that is being edited: one line of JSON with a cursor, and what its function was called with before.

export interface Editor {
  readonly functionKey: string;
  /** What enter does with the input. */
  readonly purpose: "run" | "pin";
  readonly text: string;
  /** Index into `text`, never inside a surrogate pair. */
  readonly cursor: number;
  /** 0 is the draft; n is the n-th latest input. */
  readonly historyIndex: number;
  readonly draft: string;
  readonly problem: string | undefined;
  /** What tab put in last, while the text is still `text`: tab again takes the next name. */
  readonly completed: { text: string; names: readonly string[]; index: number; before: string; after: string } | undefined;
}

export interface CallInput {
  readonly positional: unknown[];
  readonly keywords: Record<string, unknown>;
}

export type ParsedInput = { ok: true; input: CallInput } | { ok: false; problem: string };

/** A JSON array is the positional arguments, an object the keywords. */
export function parseInput(text: string): ParsedInput {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser quotes the text that it was given; it stands right above.
    const reason = (error as SyntaxError).message
      .replace(/, "?[\s\S]*"? is not valid JSON$/, " is not JSON")
      .replace(/ \(line 1 column \d+\)/, "");
    return { ok: false, problem: `not sent: ${reason}` };
  }
  if (Array.isArray(value)) return { ok: true, input: { positional: value, keywords: {} } };
  if (typeof value === "object" && value !== null) {
    return { ok: true, input: { positional: [], keywords: value as Record<string, unknown> } };
  }
  return { ok: false, problem: 'not sent: an input is a JSON array ["a", 1] or an object by parameter name {"path": "a"}' };
}

export function inputText({ positional, keywords }: CallInput): string {
  const named = Object.keys(keywords).length > 0;
  return JSON.stringify(named && positional.length === 0 ? keywords : positional);
}

export function openEditor(functionKey: string, purpose: Editor["purpose"], text: string): Editor {
  // Inside the brackets, where the first argument goes or the last one ends.
  const cursor = /[\]}]$/.test(text) ? text.length - 1 : text.length;
  return { functionKey, purpose, text, cursor, historyIndex: 0, draft: text, problem: undefined, completed: undefined };
}

export function insert(editor: Editor, added: string): Editor {
  const flat = added.replace(/\s*[\r\n]+\s*/g, " ");
  const text = editor.text.slice(0, editor.cursor) + flat + editor.text.slice(editor.cursor);
  return { ...editor, text, cursor: editor.cursor + flat.length, historyIndex: 0, draft: text, problem: undefined };
}

const left = (text: string, at: number): number => Math.max(0, at - (/[\udc00-\udfff]/.test(text[at - 1] ?? "") ? 2 : 1));
const right = (text: string, at: number): number => Math.min(text.length, at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1));
const wordLeft = (text: string, at: number): number => text.slice(0, at).replace(/[\p{L}\p{N}_]*[^\p{L}\p{N}_]*$/u, "").length;
const wordRight = (text: string, at: number): number =>
  text.length - text.slice(at).replace(/^[^\p{L}\p{N}_]*[\p{L}\p{N}_]*/u, "").length;

function remove(editor: Editor, from: number, to: number): Editor {
  const text = editor.text.slice(0, from) + editor.text.slice(to);
  return { ...editor, text, cursor: from, draft: text, problem: undefined };
}

/** What a key does to the line; undefined for a key that is not the line's business. */
export function editLine(editor: Editor, key: string): Editor | undefined {
  const { text, cursor } = editor;
  switch (key) {
    case "left":
      return { ...editor, cursor: left(text, cursor) };
    case "right":
      return { ...editor, cursor: right(text, cursor) };
    case "home":
    case "ctrl-a":
      return { ...editor, cursor: 0 };
    case "end":
    case "ctrl-e":
      return { ...editor, cursor: text.length };
    case "backspace":
      return remove(editor, left(text, cursor), cursor);
    case "delete":
      return remove(editor, cursor, right(text, cursor));
    case "ctrl-u":
      return remove(editor, 0, cursor);
    case "ctrl-k":
      return remove(editor, cursor, text.length);
    case "ctrl-w":
    case "alt-backspace":
      return remove(editor, wordLeft(text, cursor), cursor);
    case "alt-d":
      return remove(editor, cursor, wordRight(text, cursor));
    case "alt-b":
    case "alt-left":
      return { ...editor, cursor: wordLeft(text, cursor) };
    case "alt-f":
    case "alt-right":
      return { ...editor, cursor: wordRight(text, cursor) };
    default:
      return undefined;
  }
}

/** Steps through earlier inputs (latest first); past the latest comes the draft again. */
export function browse(editor: Editor, history: readonly string[], step: 1 | -1): Editor {
  const index = Math.min(history.length, Math.max(0, editor.historyIndex + step));
  const text = index === 0 ? editor.draft : (history[index - 1] ?? editor.draft);
  return { ...editor, text, cursor: text.length, historyIndex: index, problem: undefined };
}

const keptInputs = 50;

/** History with `text` as its latest entry, each entry once. */
export function remember(history: readonly string[], text: string): readonly string[] {
  return [text, ...history.filter((entry) => entry !== text)].slice(0, keptInputs);
}
