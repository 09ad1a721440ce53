// ⑧ Two runs beside each other: which are marked, and where two values differ. Pure.

import { type CallRecord, isFinished, newestFirst } from "./calls.ts";
import { type Step, step } from "./effects.ts";
import { type State, shownCall } from "./state.ts";

/** One line of two values. `depth` is how far it is nested, `name` the key or the index there. */
export interface Difference {
  readonly depth: number;
  readonly name: string;
  /** Undefined where this side has nothing of that name. */
  readonly left: unknown;
  readonly right: unknown;
  /** "inside": both are of one shape, and what differs follows. "alike": so many elements that are the same. */
  readonly kind: "same" | "differs" | "inside" | "alike";
  readonly count: number;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => equal(item, b[index]));
  if (!isRecord(a) || !isRecord(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]));
}

const mostDifferences = 2_000;

/** Where they differ, with what is the same around it counted; one line "same" for two equal values. */
export function differences(left: unknown, right: unknown): readonly Difference[] {
  const found: Difference[] = [];
  compareAt({ depth: 0, name: "", left, right }, found);
  return found;
}

type Pair = Pick<Difference, "depth" | "name" | "left" | "right">;

function compareAt(pair: Pair, found: Difference[]): void {
  if (found.length >= mostDifferences) return;
  const { left, right, depth } = pair;
  if (equal(left, right)) found.push({ ...pair, kind: "same", count: 1 });
  else if (Array.isArray(left) && Array.isArray(right)) {
    found.push({ ...pair, kind: "inside", count: 1 });
    compareLists(left, right, depth + 1, found);
  } else if (isRecord(left) && isRecord(right)) {
    found.push({ ...pair, kind: "inside", count: 1 });
    const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
    compareParts(
      names.map((name) => ({ depth: depth + 1, name, left: left[name], right: right[name] })),
      found,
    );
  } else found.push({ ...pair, kind: "differs", count: 1 });
}

/** What both begin and end with is taken from either end, so that an element more moves none of the others. */
function compareLists(left: readonly unknown[], right: readonly unknown[], depth: number, found: Difference[]): void {
  const shorter = Math.min(left.length, right.length);
  let tail = 0;
  let head = 0;
  while (head < shorter && equal(left[head], right[head])) head += 1;
  while (tail < shorter - head && equal(left.at(-1 - tail), right.at(-1 - tail))) tail += 1;
  const longest = Math.max(left.length, right.length) - tail;
  const parts: Pair[] = [];
  for (let index = 0; index < longest; index++) {
    const side = (list: readonly unknown[]): unknown => (index < list.length - tail ? list[index] : undefined);
    parts.push({ depth, name: `${index}`, left: side(left), right: side(right) });
  }
  for (let back = tail; back > 0; back--) {
    parts.push({ depth, name: `${left.length - back}`, left: left[left.length - back], right: right[right.length - back] });
  }
  compareParts(parts, found);
}

function compareParts(parts: readonly Pair[], found: Difference[]): void {
  let alike: Pair[] = [];
  const tellAlike = (): void => {
    const [first] = alike;
    if (first && alike.length === 1) found.push({ ...first, kind: "same", count: 1 });
    else if (first) found.push({ ...first, kind: "alike", count: alike.length });
    alike = [];
  };
  for (const part of parts) {
    if (equal(part.left, part.right)) {
      alike.push(part);
      continue;
    }
    tellAlike();
    compareAt(part, found);
  }
  tellAlike();
}

// Actions

/** The two that are compared, the older one first; undefined with why not. */
export function comparedRuns(state: State): { ok: true; runs: readonly [CallRecord, CallRecord] } | { ok: false; why: string } {
  const marked = state.marked.flatMap((id) => state.calls.byId.get(id) ?? []);
  const shown = shownCall(state);
  const [one, other] = marked.length === 2 ? marked : [marked[0] ?? shown, marked.length === 1 ? shown : before(state, shown)];
  if (!one) return { ok: false, why: "nothing has run yet" };
  if (!other) return { ok: false, why: "its function has run only once (+ marks a run to compare with)" };
  if (one === other) return { ok: false, why: "it is the marked one itself: choose another run" };
  return { ok: true, runs: one.info.number < other.info.number ? [one, other] : [other, one] };
}

/** The finished call of the same function that came before. */
function before(state: State, shown: CallRecord | undefined): CallRecord | undefined {
  const all = newestFirst(state.calls);
  const at = shown ? all.indexOf(shown) : -1;
  return all
    .slice(at + 1)
    .find(({ info }) => info.app === shown?.info.app && info.function === shown.info.function && isFinished(info));
}

export function needsTwoRuns(state: State): string | undefined {
  if (state.view === "compare") return undefined;
  const compared = comparedRuns(state);
  return compared.ok ? undefined : compared.why;
}

/** Opens the comparison; again: back, and nothing is marked any more. */
export function compare(state: State): Step {
  if (state.view === "compare") return step({ ...state, view: "main", marked: [] });
  const compared = comparedRuns(state);
  if (!compared.ok) return step(state);
  const marked = compared.runs.map(({ info }) => info.id);
  return step({ ...state, marked, view: "compare", scroll: { ...state.scroll, compareView: { follow: false, top: 0 } } });
}

export function needsShownCall(state: State): string | undefined {
  return shownCall(state) ? undefined : "nothing has run yet";
}

/** Marks the shown call; a third one takes the place of the first. */
export function toggleMark(state: State): Step {
  const id = shownCall(state)?.info.id;
  if (id === undefined) return step(state);
  const others = state.marked.filter((marked) => marked !== id);
  return step({ ...state, marked: others.length < state.marked.length ? others : [...others, id].slice(-2) });
}
