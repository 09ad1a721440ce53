// ⑤ Images whose contents are all local, in both views, beside plain files on the same disk below the same overlay, and beside C libfuse's passthrough
// example. Every round measures every view, so that all meet the same machine.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { detachMounts } from "../../fusefs/detach.ts";
import { type Goal, makeRow, quantile, type Row } from "../report.ts";
import { sharing } from "./sharing.ts";
import { makeMeasuredTree } from "./tree.ts";
import { showViews, type ViewName } from "./views.ts";
import { hasFio, type Work, works } from "./work.ts";

/** Of plain files' throughput at least, or of their time at most. */
const goals: Readonly<Record<string, Partial<Record<ViewName, Goal>>>> = {
  "seq-read": { tiered: { times: 0.95 } },
  "mmap-read": { tiered: { times: 0.95 } },
  "random-read": { tiered: { times: 0.95 } },
  "walk-cold": { tiered: { timesTheRival: 1.25 }, tree: { timesTheRival: 3.6 } },
  "walk-warm": { tiered: { timesTheRival: 1.1 }, tree: { timesTheRival: 2.7 } },
  "python-first": { tiered: { timesTheRival: 1.1 }, tree: { timesTheRival: 1.6 } },
  "python-later": { tiered: { timesTheRival: 1.05 }, tree: { timesTheRival: 1.2 } },
  "node-later": { tiered: { timesTheRival: 1.05 }, tree: { timesTheRival: 1.2 } },
};

export async function localImages({ say }: { say(text: string): void }): Promise<Row[]> {
  if (process.getuid?.() !== 0) {
    say("images: skipped: mounting needs root");
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "hob-bench-images-"));
  try {
    await using undo = new AsyncDisposableStack();
    undo.defer(() => void detachMounts(folder));
    const tree = await makeMeasuredTree(folder);
    say(`images: a tree of ${tree.entries.length} entries`);
    const views = await showViews(folder, tree, say, undo);
    const rows: Row[] = [];
    for (const work of works) {
      if (work.unit === "MB/s" && !hasFio) {
        say(`images: ${work.row} skipped: fio is not installed`);
        continue;
      }
      say(`images: ${work.row}`);
      rows.push(...rowsOf(work, measure(work, views)));
    }
    rows.push(...(await sharing(folder, tree, say)));
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Samples = Map<ViewName, number[]>;

/** Of the slowest view; its figures differ least. */
const libfuseRounds = 3;

/** The first round warms up and is not counted; each begins with another view. */
function measure(work: Work, views: Partial<Record<ViewName, string>>): Samples {
  const shown = Object.entries(views) as [ViewName, string][];
  const samples: Samples = new Map(shown.map(([name]) => [name, []]));
  for (let round = 0; round <= work.rounds; round++) {
    for (let turn = 0; turn < shown.length; turn++) {
      const [name, root] = shown[(round + turn) % shown.length] as [ViewName, string];
      if (name === "libfuse" && round > libfuseRounds) continue;
      const sample = work.measure(root);
      if (round > 0) samples.get(name)?.push(sample);
    }
  }
  return samples;
}

function rowsOf({ row, unit }: Work, samples: Samples): Row[] {
  const median = (name: ViewName): number | undefined => {
    const values = samples.get(name);
    return values && quantile(values, 0.5);
  };
  const rows: Row[] = [];
  for (const view of ["tiered", "tree"] as const) {
    const value = median(view);
    if (value === undefined) continue;
    const base = { bench: "images", row, of: view, stat: "p50", value, unit } as const;
    rows.push(
      makeRow({ ...base, rival: "plain files, same overlay", rivalValue: median("native") as number }, goals[row]?.[view]),
    );
    const libfuse = median("libfuse");
    if (libfuse !== undefined)
      rows.push(
        makeRow({ ...base, rival: `libfuse passthrough_ll, ${libfuseRounds} rounds`, rivalValue: libfuse }, { times: 1 }),
      );
  }
  return rows;
}
