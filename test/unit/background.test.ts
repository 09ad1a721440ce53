// A process whose V8 gives way: its compilers and collectors of garbage, and all of it where its work can wait.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";

/** Nice values by thread's name, of a process that has called `name`. */
function niceAfter(name: string): Record<string, number[]> {
  const source = `
    import { readdirSync, readFileSync } from "node:fs";
    import { getPriority } from "node:os";
    (await import(${JSON.stringify(join(installRoot, "base/background.ts"))})).${name}();
    const found = {};
    for (const id of readdirSync("/proc/self/task")) {
      const comm = readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim();
      (found[comm === "V8Worker" ? "workers" : Number(id) === process.pid ? "main" : "others"] ??= []).push(getPriority(Number(id)));
    }
    console.log(JSON.stringify(found));`;
  return JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", source], { encoding: "utf8" }));
}

test("V8's own threads give way to the main thread, and a process whose work can wait does so whole", () => {
  const before = niceAfter("yieldBackground.valueOf");
  const [usual] = before.main!;
  const yielding = niceAfter("yieldBackground");
  expect(yielding.main).toEqual([usual]);
  expect(yielding.workers!.length).toBeGreaterThan(0);
  expect(new Set(yielding.workers)).toEqual(new Set([Math.max(usual!, 10)]));
  expect(niceAfter("yieldProcess").main).toEqual([Math.max(usual!, 10)]);
});
