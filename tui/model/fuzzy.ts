// ⑧ Fuzzy search: letters in their order, best where they begin words or stand together.

export interface FuzzyMatch {
  readonly score: number;
  /** Indices of the letters that were found. */
  readonly at: readonly number[];
}

const wordStart = 8;
const together = 5;
const first = 6;

/** Undefined when the letters of `query` are not all in `text`, in their order. Spaces in the query are passed over. */
export function fuzzyMatch(query: string, text: string): FuzzyMatch | undefined {
  const letters = [...query.toLowerCase()].filter((letter) => letter !== " ");
  const lower = text.toLowerCase();
  let best: FuzzyMatch | undefined;
  // The first letter decides much: each place where it may stand is tried.
  for (
    let start = lower.indexOf(letters[0] ?? "");
    start >= 0;
    start = letters.length === 0 ? -1 : lower.indexOf(letters[0]!, start + 1)
  ) {
    const at: number[] = [];
    let from = start;
    let score = 0;
    for (const letter of letters) {
      const index = lower.indexOf(letter, from);
      if (index < 0) return best;
      const begins =
        index === 0 || /[^a-z0-9]/.test(lower[index - 1] ?? "") || /[a-z][A-Z]/.test(text.slice(index - 1, index + 1));
      score +=
        (index === 0 ? first : 0) +
        (begins ? wordStart : 0) +
        (at.at(-1) === index - 1 ? together : 0) -
        Math.min(3, (index - from) / 4);
      at.push(index);
      from = index + 1;
    }
    score -= text.length / 100;
    if (!best || score > best.score) best = { score, at };
    if (letters.length === 0) return best;
  }
  return best;
}
