// ⑦ A map goes on whatever is killed under it: every input has its result, once.

import { describe, expect, test } from "vitest";
import { faultsOf, mapUnderFire } from "../drive/mayhem.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { makeWorkplace } from "../drive/workplace.ts";

const source = "import hob\n\napp = hob.App('fire')\n\n@app.function()\ndef double(number: int) -> int:\n    return number * 2\n";

describe.skipIf(!rootWithContainers())("chaos", () => {
  test("control, agent, FUSE daemon and containers are killed while a map runs: each input has one result", {
    timeout: 180_000,
  }, async () => {
    using place = makeWorkplace({ "app.py": source });
    const inputs = 20_000;
    const { lines, exitCode, said, killed } = await mapUnderFire(place, "app.py::double", { inputs, kills: 10, seed: 7 });
    expect(faultsOf(lines, inputs).slice(0, 10)).toEqual([]);
    expect(exitCode, said).toBe(0);
    expect(Object.values(killed).reduce((sum, count) => sum + count, 0)).toBe(10);
  });
});
