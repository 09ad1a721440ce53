// Never stale: random edits of random projects, described and loaded by a real runner, and after each every answer is that of a fresh interpreter.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { changesBetween, functionKey } from "../../project/describe/changes.ts";
import { createPythonDescriber } from "../../project/describe/python.ts";
import { startFreshPython } from "../drive/fresh-python.ts";
import { type Harness, startHarness } from "../runner/harness.ts";
import { type Files as Sources, snapshotOfFiles } from "./description.ts";
import { callerOf, patchesFor, type Served } from "./served.ts";

const count = 9;
const runs = 6;
const editsEach = 26;
const names = ["f", "g", "Model.m", "Model.n"];

/** How a definition comes to its value E, which is a sum over others: at import or at a call, kept somewhere or not. */
const kinds: Record<string, (name: string, value: string) => string> = {
  plain: (d, e) => `def ${d}():\n    return ${e}`,
  constant: (d, e) => `${d}_v = ${e}\n\ndef ${d}():\n    return ${d}_v`,
  table: (d, e) => `${d}_t = {}\n${d}_t["x"] = ${e}\n\ndef ${d}():\n    return ${d}_t["x"]`,
  cached: (d, e) => `${d}_c = {}\n\ndef ${d}():\n    if 0 not in ${d}_c:\n        ${d}_c[0] = ${e}\n    return ${d}_c[0]`,
  remembered: (d, e) => `@functools.lru_cache\ndef ${d}():\n    return ${e}`,
  global: (d, e) =>
    `${d}_g = None\n\ndef ${d}():\n    global ${d}_g\n    if ${d}_g is None:\n        ${d}_g = ${e}\n    return ${d}_g`,
  attribute: (d, e) => `def ${d}():\n    if not hasattr(${d}, "kept"):\n        ${d}.kept = ${e}\n    return ${d}.kept`,
  mutable: (d, e) => `def ${d}(kept=[]):\n    if not kept:\n        kept.append(${e})\n    return kept[0]`,
  default: (d, e) => `def ${d}(value=${e}):\n    return value`,
  closure: (d, e) =>
    `def make_${d}():\n    value = ${e}\n    def inner():\n        return value\n    return inner\n\n${d} = make_${d}()`,
  late: (d, e) =>
    `def make_${d}():\n    kept = []\n    def inner():\n        if not kept:\n            kept.append(${e})\n        return kept[0]\n    return inner\n\n${d} = make_${d}()`,
  object: (d, e) => `class ${d}_C:\n    def run(self):\n        return ${e}\n\ndef ${d}():\n    return ${d}_C().run()`,
  instance: (d, e) =>
    `class ${d}_C:\n    def __init__(self):\n        self.value = ${e}\n\n    def run(self):\n        return self.value\n\n${d}_o = ${d}_C()\n\ndef ${d}():\n    return ${d}_o.run()`,
  lazy: (d, e) =>
    `class ${d}_C:\n    value = None\n\n    def run(self):\n        if self.value is None:\n            self.value = ${e}\n        return self.value\n\n${d}_o = ${d}_C()\n\ndef ${d}():\n    return ${d}_o.run()`,
  handlers: (d, e) => `def ${d}_h():\n    return ${e}\n\n${d}_t = {"h": ${d}_h}\n\ndef ${d}():\n    return ${d}_t["h"]()`,
  generator: (d, e) => `def ${d}_all():\n    yield ${e}\n\ndef ${d}():\n    return sum(${d}_all())`,
  passed: (d, e) =>
    `def ${d}_fill(into):\n    if not into:\n        into.append(${e})\n    return into[0]\n\n${d}_l = []\n\ndef ${d}():\n    return ${d}_fill(${d}_l)`,
  aliased: (d, e) =>
    `${d}_a = {}\n\ndef ${d}_get():\n    return ${d}_a\n\ndef ${d}():\n    kept = ${d}_get()\n    if 0 not in kept:\n        kept[0] = ${e}\n    return kept[0]`,
  conditional: (d, e) => `if True:\n    def ${d}():\n        return ${e}\nelse:\n    ${d} = None`,
};

interface Definition {
  kind: string;
  value: number;
  uses: number[];
}
interface Edit {
  at: number;
  what: "value" | "kind" | "uses" | "comment" | "entry";
  kind: string;
  pick: number;
}
/** What the app's functions and the served class use: f, g, Model.m, Model.n, and the enter hook. */
interface Program {
  definitions: Definition[];
  entries: number[];
  comments: number;
}

const kind = fc.constantFrom(...Object.keys(kinds));
const program: fc.Arbitrary<Program> = fc.record({
  definitions: fc.tuple(
    ...Array.from({ length: count }, (_, at) =>
      fc.record({
        kind,
        value: fc.nat(99),
        uses: fc.uniqueArray(fc.nat(Math.max(0, at - 1)), { minLength: 1, maxLength: 2 }).map((used) => (at === 0 ? [] : used)),
      }),
    ),
  ),
  entries: fc.array(fc.integer({ min: 3, max: count - 1 }), { minLength: 5, maxLength: 5 }),
  comments: fc.constant(0),
});
const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(count - 1),
  what: fc.oneof(
    { weight: 6, arbitrary: fc.constant("value" as const) },
    { weight: 2, arbitrary: fc.constantFrom("kind" as const, "uses" as const) },
    { weight: 1, arbitrary: fc.constantFrom("comment" as const, "entry" as const) },
  ),
  kind,
  pick: fc.nat(1000),
});

function edited(program: Program, { at, what, kind: next, pick }: Edit): Program {
  const { definitions, entries, comments } = program;
  if (what === "comment") return { ...program, comments: comments + 1 };
  if (what === "entry") {
    const entry = pick % entries.length;
    return { ...program, entries: entries.map((used, index) => (index === entry ? 3 + ((used + 1) % (count - 3)) : used)) };
  }
  const changed = definitions.map((each, index): Definition => {
    if (index !== at) return each;
    if (what === "value") return { ...each, value: each.value + 1 + (pick % 7) };
    if (what === "kind") return { ...each, kind: next, value: each.value + 1 };
    return { ...each, value: each.value + 1, uses: at === 0 ? [] : [pick % at] };
  });
  return { ...program, definitions: changed };
}

const moduleOf = (at: number): number => Math.floor(at / 3);

function sourcesOf({ definitions, entries, comments }: Program, app: string): Sources {
  const name = (at: number, home: number): string => (moduleOf(at) === home ? `d${at}()` : `m${moduleOf(at)}.d${at}()`);
  const sources: Sources = {};
  for (let home = 0; home < count / 3; home++) {
    const imports = ["functools", ...Array.from({ length: home }, (_, at) => `m${at}`)].map((each) => `import ${each}`);
    const bodies = definitions.slice(home * 3, home * 3 + 3).map(({ kind: how, value, uses }, index) => {
      return kinds[how]!(`d${home * 3 + index}`, [value, ...uses.map((used) => name(used, home))].join(" + "));
    });
    sources[`m${home}.py`] = `${["# note\n".repeat(home === 1 ? comments : 0) + imports.join("\n"), ...bodies].join("\n\n\n")}\n`;
  }
  const [f, g, m, n, load] = entries.map((at) => name(at, -1));
  sources["app.py"] = `import hob
import m0, m1, m2

app = hob.App("${app}")

@app.function()
def f():
    return ${f}

@app.function()
def g():
    return ${g} + f()

@app.cls()
class Model:
    @hob.enter()
    def load(self):
        self.loaded = ${load}
        self.kept = {}

    @hob.method()
    def m(self):
        return self.loaded * 1000 + ${m}

    @hob.method()
    def n(self):
        if 0 not in self.kept:
            self.kept[0] = ${n}
        return self.kept[0] + self.m()
`;
  return sources;
}

/** One project's way: what is published, and what each version's process builds on. */
function projectIn(harness: Harness, describer: ReturnType<typeof createPythonDescriber>) {
  const served: Served = { published: new Map(), bases: new Map() };
  const { published, bases } = served;
  let last: Sources = {};

  async function save(files: Sources): Promise<{ folder: string; tiers: string[] }> {
    const snapshot = snapshotOfFiles(files);
    const changed = Object.entries(files).filter(([path, source]) => last[path] !== source);
    const { functions } = await describer.describe(
      { changed: changed.map(([path, source]) => ({ path, source })), removed: [] },
      snapshot,
    );
    last = files;
    const { changes } = changesBetween(published, new Map(functions.map((each) => [functionKey(each), each])), []);
    const folder = join(harness.root, snapshot.digest);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    if (changes.length === 0) return { folder, tiers: [] };
    const { patched, patches } = patchesFor("python", changes, served);
    const answer = await harness.runner.load({
      ...{ app: "x", snapshot: snapshot.digest, base: "", removed: [], retire: [], secrets: {} },
      changed: Object.entries(files).map(([path, text]) => ({ path, digest: sha256(text) })),
      blobs: Object.values(files).map((text) => ({ digest: sha256(text), data: Buffer.from(text) })),
      versions: changes.map(({ after: { spec, digest, keepsState = false } }) => ({
        ...{ function: spec.name, digest, module: spec.module, qualname: spec.qualname, className: spec.className },
        ...{ keepsState, bundle: "", concurrency: 1, secrets: [] },
      })),
      patches,
    });
    expect(answer.failure).toBeUndefined();
    const inPlace = new Set(answer.tier === "patch" ? patched.map(({ name }) => name) : []);
    for (const { after } of changes) {
      const key = functionKey(after);
      const home = (inPlace.has(after.spec.name) && bases.get(key)?.home) || snapshot.digest;
      published.set(key, after);
      bases.set(key, { snapshot: snapshot.digest, home });
    }
    return { folder, tiers: [answer.tier] };
  }

  return { save, call: callerOf(harness, served) };
}

it("answers as a fresh interpreter does, whatever was edited", async () => {
  await using fresh = startFreshPython();
  const tiers: string[] = [];
  await fc.assert(
    fc.asyncProperty(program, fc.array(edit, { minLength: editsEach, maxLength: editsEach }), async (start, edits) => {
      await using harness = await startHarness("python");
      await using describer = createPythonDescriber();
      const project = projectIn(harness, describer);
      await project.save(sourcesOf(start, "x"));
      let now = start;
      for (const [step, next] of edits.entries()) {
        now = edited(now, next);
        const { folder, tiers: taken } = await project.save(sourcesOf(now, "x"));
        tiers.push(...taken);
        const right = await fresh.answers(folder, names);
        const told = `edit ${step} ${JSON.stringify(next)}`;
        for (
          let time = 1;
          time <= 2;
          time++ // the second time with what the first calls have kept
        )
          expect([told, time, await Promise.all(names.map(project.call))]).toEqual([told, time, right]);
      }
    }),
    { numRuns: runs, endOnFailure: true },
  );
  expect(tiers.filter((tier) => tier === "patch").length).toBeGreaterThan(0); // it says nothing of patches where there are none
});
