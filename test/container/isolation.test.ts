// ⑤ The isolation probe: every boundary holds in a real container of a pool, and the probe sees when there are none.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { installRoot } from "../../base/install.ts";
import { hob, makePlace } from "../cli/run-hob.ts";
import { rootWithContainers } from "../drive/requirements.ts";

interface Row {
  check: string;
  held: boolean;
  found: string;
}

/** What cannot fail outside of a container here: this kernel lacks modules or kexec, or nobody is there to be reached. */
const fewestOpen = 40;

describe.skipIf(!rootWithContainers())("the isolation probe", () => {
  it("finds every boundary in place in a container of a pool", async () => {
    using place = makePlace();
    const run = mkdtempSync("/run/hob-test-"); // every component of a container's root has o+x
    place.environment["HOB_RUN_DIR"] = run;
    const said = await hob(place, ["doctor", "--isolation", "--json"]);
    await hob(place, ["pool", "stop", "--force"]);
    rmSync(run, { recursive: true, force: true });
    const rows = said.stdout.split("\n").flatMap((line): Row[] => (line ? [JSON.parse(line)] : []));
    expect(
      rows.filter(({ held }) => !held),
      said.stderr,
    ).toEqual([]);
    expect(rows.length).toBeGreaterThanOrEqual(40);
    expect(said.code).toBe(0);
  });

  it("reports most of them open for a process that nothing confines", () => {
    const script = `import json, probe; print(json.dumps(probe.run_checks({"memory": ${64 << 20}, "paths": ["/usr"]})))`;
    const text = execFileSync("unshare", ["--mount", "--net", "--propagation", "private", "/usr/bin/python3", "-c", script], {
      encoding: "utf8",
      timeout: 30_000,
      env: {
        PYTHONPATH: `${join(installRoot, "sdk/python")}:${join(installRoot, "cli/doctor/isolation")}`,
        PYTHONDONTWRITEBYTECODE: "1",
      },
    });
    const open = (JSON.parse(text) as Row[]).filter(({ held }) => !held).map(({ check }) => check);
    expect(open.length, open.join(" ")).toBeGreaterThanOrEqual(fewestOpen);
    expect(open).toEqual(expect.arrayContaining(["mount", "user-namespace", "seccomp", "capabilities", "uid", "memory", "disk"]));
  });
});
