// Ten nodes that have never seen an image start it at the same moment, all behind the bench's link: what comes over the link for all of them, beside what
// one takes. Real agents on this machine, which reach control over the link only and each other beside it.

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../base/log.ts";
import { startCaller } from "../../cli/caller.ts";
import { openWorkbench } from "../../project/workbench.ts";
import { makeRow, type Row } from "../report.ts";
import type { FirstCallPlace } from "./first-call.ts";
import { reference, startFarPool } from "./pool.ts";

const many = 10;
const app = "bench";

/** A container takes more than half of a node's cores, so each call wants a node of its own; it lasts until all have begun. */
const source = `import time

import hob

app = hob.App("${app}")
image = hob.Image.oci("${reference}")

@app.function(image=image, cpu=${cpus().length / 2 + 0.25}, timeout=120)
def first():
    import numpy
    time.sleep(20)
    return int(numpy.arange(10).sum())
`;

/** Bytes over the link from the calls until all of them have been answered, each by another node. */
async function started({ debian, link, sockets }: FirstCallPlace, root: string, count: number): Promise<number> {
  await using pool = await startFarPool(debian, sockets);
  await using nodes = new AsyncDisposableStack();
  for (let index = 0; index < count; index++) nodes.use(await pool.startNode(`near-${index}`));
  const options = { root, connect: async () => pool.address, build: "", client: "bench", log: silentLog };
  await using caller = startCaller(await openWorkbench(options), () => {});
  await caller.project;
  const before = link.received();
  const calls = await Promise.all(Array.from({ length: count }, () => caller.call(app, "first", [], {}).finished));
  const bytes = link.received() - before;
  const failed = calls.find(({ state }) => state !== "succeeded");
  if (failed) throw new Error(`a call in one of ${count} nodes ${failed.state}: ${failed.failure?.message}`);
  const answered = new Set(calls.map(({ node }) => node)).size;
  if (answered !== count) throw new Error(`${count} calls were answered by ${answered} nodes`);
  return bytes;
}

export async function tenNodes(place: FirstCallPlace): Promise<Row[]> {
  const root = join(place.work, "project-ten");
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "app.py"), source);
  place.say(`images: the same by one node, and by ${many} at once`);
  const one = await started(place, root, 1);
  const all = await started(place, root, many);
  place.say(`  ${(one / 1e6).toFixed(1)} MB for one, ${(all / 1e6).toFixed(1)} MB for ${many}`);
  const base = { bench: "images", row: "ten-nodes-fetched", stat: "total" as const, unit: "MB" as const };
  return [makeRow({ ...base, value: all / 1e6, rival: "one node", rivalValue: one / 1e6 }, { timesTheRival: 1.5 })];
}
