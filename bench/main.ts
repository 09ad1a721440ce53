// `npm run bench -- NAME… [--json] [--check] [--saves N] [--load FILE] [--seed N]`: runs the named benches (all by default) and prints their rows.

import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import type { Row } from "./report.ts";
import { table } from "./report.ts";

interface BenchOptions {
  saves: number;
  /** Recorded calls for `schedule`, as a file; "" for none. */
  load: string;
  /** Of the faults of `chaos` and `nats`. */
  seed: number;
  say(text: string): void;
}

const benches: Record<string, (options: BenchOptions) => Promise<Row[]>> = {
  chaos: async (options) => (await import("./chaos.ts")).chaos(options),
  burst: async (options) => (await import("./burst.ts")).burst(options),
  images: async (options) => [
    ...(await (await import("./images/local.ts")).localImages(options)),
    ...(await (await import("./images/lazy.ts")).lazyImages(options)),
    ...(await (await import("./images/edit.ts")).editedSteps(options)),
  ],
  map: async (options) => [
    ...(await (await import("./map.ts")).maps(options)),
    ...(await (await import("./calls.ts")).calls(options)),
  ],
  screen: async (options) => (await import("./screen.ts")).screen(options),
  schedule: async (options) => (await import("./schedule/schedule.ts")).schedule(options),
  gateway: async (options) => (await import("./gateway.ts")).gateway(options),
  nats: async (options) => (await import("./nats.ts")).nats(options),
  loop: async (options) => (await import("./loop.ts")).loop(options),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ json: { type: "boolean" }, check: { type: "boolean" } },
    ...{ saves: { type: "string", default: "120" }, load: { type: "string", default: "" } },
    seed: { type: "string", default: `${Date.now() % 1_000_000}` },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(benches);
const unknown = names.find((name) => !(name in benches));
const [saves, seed] = [Number(values.saves), Number(values.seed)];
if (unknown !== undefined || !Number.isInteger(saves) || saves < 1 || !Number.isInteger(seed)) {
  const fault =
    unknown !== undefined
      ? `there is no bench "${unknown}"; there are ${Object.keys(benches).join(", ")}`
      : `--saves ${values.saves}, --seed ${values.seed}: write whole numbers`;
  process.stderr.write(`bench: ${fault}\n`);
  process.exit(2);
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);
say(`${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`);
const rows: Row[] = [];
for (const name of names) rows.push(...(await benches[name]!({ saves, seed, load: values.load, say })));
process.stdout.write(values.json ? `${rows.map((row) => JSON.stringify(row)).join("\n")}\n` : `${table(rows)}\n`);
if (values.check && rows.some((row) => row.holds === false)) process.exit(1);
