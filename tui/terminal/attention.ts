// ⑧ The terminal's title, its reports of the focus, and notifications, as escape sequences.

import { clean, cut } from "../text.ts";

const longestTitle = 80;
const longestNotice = 200;

/** The title is kept on the terminal's stack, and the focus reported, for as long as the screen lives. */
export const beginAttention = "\x1b[22;2t\x1b[?1004h";
export const endAttention = "\x1b[?1004l\x1b[23;2t";

export function titleSequence(title: string): string {
  return `\x1b]2;${cut(clean(title), longestTitle)}\x1b\\`;
}

// Semicolons end a field of OSC 777.
const field = (text: string): string => cut(clean(text).replaceAll(";", ","), longestNotice);

/** OSC 777 where terminals know that (VTE, foot, rxvt), else OSC 9 (iTerm2, WezTerm, kitty, Ghostty, Windows Terminal); through tmux and screen as they pass it on. */
export function notification(title: string, text: string, env: Readonly<Record<string, string | undefined>>): string {
  const knows777 = Boolean(env["VTE_VERSION"]) || /^(foot|rxvt)/.test(env["TERM"] ?? "");
  const sequence = knows777
    ? `\x1b]777;notify;${field(title)};${field(text)}\x1b\\`
    : `\x1b]9;${field(`${title}: ${text}`)}\x1b\\`;
  if (env["TMUX"]) return `\x1bPtmux;${sequence.replaceAll("\x1b", "\x1b\x1b")}\x1b\\`;
  // GNU screen ends its own at the first ST: BEL ends the inner one.
  return /^screen/.test(env["TERM"] ?? "") ? `\x1bP${sequence.replace(/\x1b\\$/, "\x07")}\x1b\\` : sequence;
}

const focusReport = /\x1b\[([IO])/g;

/** A terminal to read keys from, of which Ink sees no reports of the focus: it would drop them. */
export function hearingFocus(terminal: NodeJS.ReadStream, hear: (focused: boolean) => void): NodeJS.ReadStream {
  const read = (size?: number): unknown => {
    const piece: unknown = terminal.read(size);
    if (piece === null) return null;
    return String(piece).replace(focusReport, (_, way: string) => {
      hear(way === "I");
      return "";
    });
  };
  return new Proxy(terminal, {
    get(target, name) {
      if (name === "read") return read;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
