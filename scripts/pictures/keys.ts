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
  const rows = Object.entries(headings).flatMap(([group, heading]) => [
    `| **${heading}** | | |`,
    ...table
      .filter((binding) => binding.group === group)
      .map(
        (binding) =>
          `| ${binding.keys.map((key) => `\`${key}\``).join(" ")} | ${settingName(binding)} | ${binding.description} |`,
      ),
  ]);
  return ["| key | action | |", "| --- | --- | --- |", ...rows].join("\n");
}

/** The document with its table of keys as it is now. */
export function withKeys(document: string): string {
  const [before = "", rest = ""] = document.split(begin);
  return `${before}${begin}\n\n${keysMarkdown()}\n\n${end}${rest.split(end)[1] ?? ""}`;
}
