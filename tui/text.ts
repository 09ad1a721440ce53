// ⑧ Text that others wrote, made safe to lay out: whatever comes in, every character that comes out fills exactly one cell.

/** Stands for a character that terminals draw two cells wide, or in a width that they do not agree on. */
export const standIn = "▯";

const tabColumns = 8;

const printableAscii = /^[\x20-\x7e]*$/;

// ECMA-48: CSI with its parameters; OSC, DCS, SOS, PM and APC up to their terminator; any other escape; the C1 forms of the same.
const escapes =
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]|[\x90\x98\x9d-\x9f][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?/g;

// Marks and format characters have no cell of their own (and reorder, join or hide their neighbours); so have C0, C1 and Hangul's trailing jamo.
const withoutCell = /[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cc}\u1160-\u11ff\ud7b0-\ud7ff]/gu;

const spaces = /[\p{Zs}\p{Zl}\p{Zp}]/gu;

// East Asian wide and fullwidth, emoji, all that lies beyond the BMP, private use, unassigned, lone surrogates, and the two letters
// (Thai and Lao AM, halfwidth kana marks) that grapheme rules glue to the one before.
const uncertainWidth =
  /[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uff9e\uff9f\uffe0-\uffe6\u0e33\u0eb3]|[\u{10000}-\u{10ffff}]|\p{Emoji_Presentation}|\p{Regional_Indicator}|\p{Co}|\p{Cn}|\p{Cs}/gu;

/** One line of untrusted text as one line of single cells. A carriage return shows what was written after it, as a terminal would. */
export function clean(text: string): string {
  if (printableAscii.test(text)) return text;
  const line = expandTabs(lastWritten(text.replace(escapes, "")).replaceAll("\n", " "));
  if (printableAscii.test(line)) return line;
  return line.normalize("NFC").replace(withoutCell, "").replace(spaces, " ").replace(uncertainWidth, standIn);
}

function lastWritten(text: string): string {
  const line = text.replace(/\r+$/, "");
  return line.slice(line.lastIndexOf("\r") + 1);
}

function expandTabs(text: string): string {
  const [first = "", ...rest] = text.split("\t");
  return rest.reduce((line, part) => line + " ".repeat(tabColumns - (line.length % tabColumns)) + part, first);
}

/** Clean text cut to `width` cells, the cut marked. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 0 ? "" : `${text.slice(0, width - 1)}…`;
}

/** Clean text in exactly `width` cells. */
export function pad(text: string, width: number, align: "left" | "right" = "left"): string {
  const shown = cut(text, width);
  return align === "left" ? shown.padEnd(width) : shown.padStart(width);
}
