// Never stale: random edits of random TypeScript projects, described and loaded by a real runner, and after each every answer is that of a fresh interpreter.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { changesBetween, functionKey } from "../../project/describe/changes.ts";
import type { LanguageDescriber } from "../../project/describe/python.ts";
import { createTypeScriptDescriber } from "../../project/describe/typescript.ts";
import { freshAnswers } from "../drive/fresh-typescript.ts";
import { type Harness, startHarness } from "../runner/harness.ts";
import { type Files, snapshotOfFiles } from "./description.ts";
import { callerOf, patchesFor, type Served } from "./served.ts";
import { edit, edited, entries, program, sourcesOf } from "./typescript-programs.ts";

const runs = 3;
const editsEach = 20;

/** One project's way: what is published, and what each version's process builds on. */
function projectIn(harness: Harness, root: string, describer: LanguageDescriber) {
  const served: Served = { published: new Map(), bases: new Map() };
  const { published, bases } = served;
  const loaded = new Set<string>();
  let last: Files = {};

  async function save(files: Files): Promise<{ folder: string; tiers: string[] }> {
    const snapshot = snapshotOfFiles(files);
    const changed = Object.entries(files).filter(([path, source]) => last[path] !== source);
    const removed = Object.keys(last).filter((path) => !(path in files));
    const folder = join(harness.root, snapshot.digest);
    mkdirSync(folder, { recursive: true });
    for (const [path, text] of Object.entries(files)) for (const at of [root, folder]) writeFileSync(join(at, path), text);
    for (const path of removed) rmSync(join(root, path));
    const { functions, diagnostics } = await describer.describe(
      { changed: changed.map(([path, source]) => ({ path, source })), removed },
      snapshot,
    );
    expect(diagnostics).toEqual([]);
    last = files;
    const { changes } = changesBetween(published, new Map(functions.map((each) => [functionKey(each), each])), []);
    if (changes.length === 0) return { folder, tiers: [] };
    const { patched, patches } = patchesFor("typescript", changes, served);
    const blobs = [...changes.map(({ after }) => after.bundle!), ...patched.flatMap(({ plan }) => plan.bundle ?? [])];
    const unused = [...loaded].filter((each) => ![...bases.values()].some((base) => base.snapshot === each));
    for (const each of unused) loaded.delete(each);
    loaded.add(snapshot.digest);
    const answer = await harness.runner.load({
      ...{ app: "x", snapshot: snapshot.digest, base: "", changed: [], removed: [], secrets: {} },
      retire: unused.filter((each) => each !== snapshot.digest),
      blobs: [...new Map(blobs.map((blob) => [blob.digest, blob])).values()],
      versions: changes.map(({ after: { spec, digest, bundle, keepsState = false } }) => ({
        ...{ function: spec.name, digest, module: spec.module, qualname: spec.qualname, className: spec.className },
        ...{ keepsState, bundle: bundle!.digest, concurrency: 1, secrets: [] },
      })),
      patches,
    });
    expect(answer.failure).toBeUndefined();
    for (const { after } of changes) {
      published.set(functionKey(after), after);
      bases.set(functionKey(after), { snapshot: snapshot.digest, home: snapshot.digest });
    }
    return { folder, tiers: [answer.tier] };
  }

  return { save, call: callerOf(harness, served) };
}

const textOf = (files: Files): string =>
  Object.entries(files)
    .map(([path, text]) => `// ${path}\n${text}`)
    .join("\n");

it("answers as a fresh interpreter does, whatever was edited in TypeScript", async () => {
  const tiers: string[] = [];
  await fc.assert(
    fc.asyncProperty(program, fc.array(edit, { minLength: editsEach, maxLength: editsEach }), async (start, edits) => {
      await using harness = await startHarness("typescript");
      const root = mkdtempSync(join(tmpdir(), "hob-fresh-typescript-"));
      await using describer = createTypeScriptDescriber(root);
      await using _removal = { [Symbol.asyncDispose]: async () => rmSync(root, { recursive: true }) };
      const project = projectIn(harness, root, describer);
      await project.save(sourcesOf(start, "x"));
      let now = start;
      for (const [step, next] of edits.entries()) {
        const before = now;
        now = edited(now, next);
        const { folder, tiers: taken } = await project.save(sourcesOf(now, "x"));
        tiers.push(...taken);
        const right = await freshAnswers(folder, entries);
        const told = (): string =>
          `edit ${step} ${JSON.stringify(next)}, answered by a ${taken[0] ?? "process as it was"}\n` +
          `before:\n${textOf(sourcesOf(before, "x"))}\nafter:\n${textOf(sourcesOf(now, "x"))}`;
        // Some not at once: what a process has kept of a call is there in the edits that follow.
        const called = entries.filter((_entry, index) => (next.pick >> index) % 2 > 0);
        for (let time = 1; time <= 2; time++) {
          const names = time === 1 ? called : entries;
          const said = await Promise.all(names.map(([, name]) => project.call(name)));
          const wanted = names.map((entry) => (Array.isArray(right) ? right[entries.indexOf(entry)] : right));
          expect(said, told()).toEqual(wanted);
          if ((next.pick >> entries.length) % 4 > 0) break;
        }
      }
    }),
    { numRuns: runs, endOnFailure: true, ...(process.env["HOB_SEED"] && { seed: Number(process.env["HOB_SEED"]) }) },
  );
  expect(tiers.filter((tier) => tier === "patch").length).toBeGreaterThan(0); // it says nothing of patches where there are none
});
