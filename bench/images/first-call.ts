// A whole agent that has never seen an image, behind the bench's link: from a client's call, beside control, to its result, by way of control, the node, its
// fetches, runc, the runner and the project's code.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "../../base/log.ts";
import { startCaller } from "../../cli/caller.ts";
import { openWorkbench } from "../../project/workbench.ts";
import { makeRow, quantile, type Row } from "../report.ts";
import type { Debian } from "./debian.ts";
import type { Link } from "./link.ts";
import { reference, type Sockets, startFarPool } from "./pool.ts";

const rounds = 3;
const app = "bench";

export interface CalledProgram {
  of: string;
  /** The body of a module's function `first`, and what the module imports. */
  imports: string;
  result: string;
  /** The result's JSON. */
  expected: string;
}

const source = ({ imports, result }: CalledProgram): string => `import hob
${imports}
app = hob.App("${app}")
image = hob.Image.oci("${reference}")

@app.function(image=image)
def first():
    return ${result}
`;

interface FirstCall {
  ms: number;
  fetchedBytes: number;
  json: string;
  /** What control has of it afterwards. */
  trace: Buffer;
}

/** A pool that has not seen a call yet, or it would have containers of the image wait; a node that joins it; and the first call of all. */
async function firstCall({ debian, link, sockets }: FirstCallPlace, root: string, trace?: Buffer): Promise<FirstCall> {
  await using pool = await startFarPool(debian, sockets, trace);
  await using _node = await pool.startNode("near");
  const options = { root, connect: async () => pool.address, build: "", client: "bench", log: silentLog };
  await using caller = startCaller(await openWorkbench(options), () => {});
  await caller.project;
  const before = link.received();
  const began = performance.now();
  const call = await caller.call(app, "first", [], {}).finished;
  const ms = performance.now() - began;
  const fetchedBytes = link.received() - before;
  if (call.state !== "succeeded") throw new Error(`the first call behind the link ${call.state}: ${call.failure?.message}`);
  return { ms, fetchedBytes, json: call.result?.json.toString() ?? "", trace: await pool.traced() };
}

export interface FirstCallPlace {
  debian: Debian;
  link: Link;
  work: string;
  sockets: Sockets;
  say(text: string): void;
}

/** The rows of one program. `whole`: what the rival takes until its output. */
export async function firstCalls(
  place: FirstCallPlace,
  program: CalledProgram,
  whole: { rival: string; rivalValue: number },
): Promise<Row[]> {
  const { debian, work, say } = place;
  const root = join(work, "project");
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "app.py"), source(program));
  say(`images: the first call of a whole pool, ${program.of}, ${rounds} rounds`);
  const [lazy, traced, shares]: number[][] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const first = await firstCall(place, root);
    const second = await firstCall(place, root, first.trace);
    for (const { json } of [first, second])
      if (json !== program.expected) throw new Error(`the first call answered ${json} instead of ${program.expected}`);
    lazy!.push(first.ms);
    traced!.push(second.ms);
    shares!.push((100 * first.fetchedBytes) / debian.storedBytes);
    say(`  ${first.ms.toFixed(0)} ms, with its trace ${second.ms.toFixed(0)} ms`);
  }
  const [lazyMs, tracedMs, share] = [lazy, traced, shares].map((samples) => quantile(samples!, 0.5));
  const base = { bench: "images", of: program.of, stat: "p50" as const };
  return [
    makeRow({ ...base, row: "first-call-lazy", value: lazyMs!, unit: "ms", ...whole }, { times: 15 }),
    makeRow({ ...base, row: "first-call-traced", value: tracedMs!, unit: "ms", rival: "without a trace", rivalValue: lazyMs! }),
    makeRow({ ...base, row: "first-call-share", value: share!, unit: "%" }, { atMost: 10 }),
  ];
}
