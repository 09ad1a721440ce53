// A durable map of 100,000 inputs while parts of its pool are killed: what was lost or given twice, and the longest time without a result.

import { faultsOf, mapUnderFire } from "../test/drive/mayhem.ts";
import { makeWorkplace } from "../test/drive/workplace.ts";
import { makeRow, type Row } from "./report.ts";

const source = "import hob\n\napp = hob.App('fire')\n\n@app.function()\ndef double(number: int) -> int:\n    return number * 2\n";
const inputs = 100_000;
const kills = 60;

export async function chaos({ seed, say }: { seed: number; say(text: string): void }): Promise<Row[]> {
  using place = makeWorkplace({ "app.py": source });
  say(`chaos: ${inputs} inputs, ${kills} kills, seed ${seed}`);
  const { killed, longestStallMs, totalMs, lines, exitCode, said } = await mapUnderFire(place, "app.py::double", {
    inputs,
    kills,
    seed,
  });
  const faults = faultsOf(lines, inputs);
  const sum = Object.values(killed).reduce((all, count) => all + count, 0);
  say(
    `  killed ${Object.entries(killed)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ")}; ${Math.round(totalMs)} ms in all; exit code ${exitCode}`,
  );
  for (const fault of faults.slice(0, 10)) say(`  ${fault}`);
  if (exitCode !== 0) say(said);
  const wrong = faults.length + (exitCode === 0 ? 0 : 1) + Math.max(0, kills - sum);
  return [
    makeRow(
      { bench: "chaos", row: "map-under-fire", of: "lost or twice", stat: "total", unit: "inputs", value: wrong },
      { atMost: 0 },
    ),
    makeRow({ bench: "chaos", row: "map-under-fire", of: "longest stall", stat: "total", unit: "ms", value: longestStallMs }),
  ];
}
