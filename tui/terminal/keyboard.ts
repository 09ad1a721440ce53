// ⑧ Ink's input events as the names that keys.ts uses. Keys that come faster than they are read arrive as one string.

import type { Key } from "ink";

const named = [
  ["upArrow", "up"],
  ["downArrow", "down"],
  ["leftArrow", "left"],
  ["rightArrow", "right"],
  ["pageUp", "pageup"],
  ["pageDown", "pagedown"],
  ["home", "home"],
  ["end", "end"],
  ["escape", "esc"],
  ["backspace", "backspace"],
  ["delete", "delete"],
  ["return", "enter"],
] as const satisfies readonly (readonly [keyof Key, string])[];

const control: Readonly<Record<string, string>> = {
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  " ": "space",
  "\x7f": "backspace",
  "\b": "backspace",
};

function characterName(character: string): string {
  const known = control[character];
  if (known !== undefined) return known;
  const code = character.charCodeAt(0);
  return code < 0x20 ? `ctrl-${String.fromCharCode(code + 0x60)}` : character;
}

/** What a terminal sends for alt and a key is "alt-" and that key's name; it may be esc and the key, read as one piece. */
export function keysOf(input: string, key: Key): string[] {
  const names = namesOf(input, key);
  return key.meta ? names.map((name) => `alt-${name}`) : names;
}

function namesOf(input: string, key: Key): string[] {
  if (key.tab) return [key.shift ? "shift-tab" : "tab"];
  const special = named.find(([flag]) => key[flag]);
  if (special) return [special[1]];
  if (key.ctrl && input.length === 1) return [`ctrl-${input}`];
  return [...input].map(characterName);
}
