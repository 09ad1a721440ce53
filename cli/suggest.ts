// ⑧ Names near to one that does not exist, for messages.

/** At most three of `names`, nearest first. */
export function nearNames(wanted: string, names: Iterable<string>): string[] {
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  const lower = wanted.toLowerCase();
  return [...new Set(names)]
    .map((name) => ({ name, distance: nearness(lower, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, 3)
    .map(({ name }) => name);
}

/** Edit distance; a name that contains the other is near whatever its length. */
function nearness(a: string, b: string): number {
  if (a.length >= 3 && (b.includes(a) || (b.length >= 3 && a.includes(b)))) return 1;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** `did you mean "embed" or "embed_all"`, or else what there is, or "". */
export function suggestion(wanted: string, names: string[]): string {
  const near = nearNames(wanted, names);
  if (near.length > 0) return `did you mean ${near.map((name) => `"${name}"`).join(" or ")}?`;
  if (names.length === 0) return "";
  const shown = names.slice(0, 8).join(", ");
  return `there is ${shown}${names.length > 8 ? ` and ${names.length - 8} more` : ""}`;
}
