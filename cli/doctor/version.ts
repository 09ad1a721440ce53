// ⑧ Versions as programs print them, compared by their numbers.

/** The first dotted number of a text: "Linux 6.18.2-amd64" → [6, 18, 2]; [] when there is none. */
export function versionIn(text: string): number[] {
  return (/\d+(?:\.\d+)+/.exec(text)?.[0] ?? "").split(".").filter(Boolean).map(Number);
}

export function atLeast(version: number[], wanted: number[]): boolean {
  for (const [index, number] of wanted.entries()) {
    const own = version[index] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}
