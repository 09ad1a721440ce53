// ⑧ One row of `hob doctor`: what was found, what it means for hob, how to mend it.

export interface Finding {
  check: string; // stable name, for --json
  title: string;
  /** "limited" works with less; "missing" stops a pool from starting here. */
  state: "ok" | "limited" | "missing";
  found: string;
  meaning: string;
  remedy?: string;
}

const marks: Record<Finding["state"], string> = { ok: "✓", limited: "!", missing: "✗" };

/** Two lines a row at most: the finding, and beneath it the remedy. */
export function formatFindings(findings: Finding[]): string[] {
  const titleWidth = Math.max(...findings.map(({ title }) => title.length));
  const indent = " ".repeat(titleWidth + 4);
  return findings.flatMap(({ state, title, found, meaning, remedy }) => [
    `${marks[state]} ${title.padEnd(titleWidth)}  ${found}${meaning ? `: ${meaning}` : ""}`,
    ...(remedy ? [`${indent}→ ${remedy}`] : []),
  ]);
}
