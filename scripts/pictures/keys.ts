// The keys as a table for docs/workbench.md, from the table that the screen itself uses.

import { type KeyBinding, keysWith, settingName } from "../../tui/keys.ts";

const headings: Record<KeyBinding["group"], string> = {
  call: "Calls",
  show: "Views",
  move: "Moving",
  replay: "In a recorded session",
  hob: "hob",
};

const begin = "<!-- keys: written by npm run pictures -->";
const end = "<!-- /keys -->";

function keysMarkdown(): string {
  const table = keysWith({});
  const cells = Object.entries(headings).flatMap(([group, heading]) => [
    [`**${heading}**`, "", ""],
    ...table
      .filter((binding) => binding.group === group)
      .map((binding) => [binding.keys.map((key) => `\`${key}\``).join(" "), settingName(binding), binding.description]),
  ]);
  const rows = [["key", "action", ""], ...cells];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[], fill = " "): string =>
    `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width, fill)).join(" | ")} |`;
  const [head = [], ...rest] = rows;
  return [line(head), line([], "-"), ...rest.map((row) => line(row))].join("\n");
}

/** The document with its table of keys as it is now. */
export function withKeys(document: string): string {
  const [before = "", rest = ""] = document.split(begin);
  return `${before}${begin}\n\n${keysMarkdown()}\n\n${end}${rest.split(end)[1] ?? ""}`;
}
