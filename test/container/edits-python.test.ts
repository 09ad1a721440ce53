// The table of edits of Python, each as its user makes it: saved, described, published, and called on a real pool.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EditedProject, openEdited, type Sources } from "../drive/edited-project.ts";
import { startPool, type TestPool } from "../drive/pool.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { classRows } from "./edits-python-classes.ts";
import { plainRows } from "./edits-python-functions.ts";
import { type EditRow, head } from "./edits-python-rows.ts";

const sideBySide = 6;

describe.skipIf(!rootWithContainers())("an edit of Python on a pool", () => {
  let pool: TestPool;
  beforeAll(async () => {
    pool = startPool();
    await pool.connect();
  }, 60_000);
  afterAll(() => pool[Symbol.asyncDispose]());

  async function outcome(row: EditRow, app: string): Promise<object> {
    const files: Sources = { ...row.files, "app.py": head(app) + row.app };
    const edited = { ...files };
    for (const [file, from, to] of row.edits) edited[file] = edited[file]!.replace(from, () => to);
    await using project = await openEdited(app, files, pool.connect);
    const call = row.call ?? "f";
    const [was, token] = pairOf(await project.call(call));
    await project.call(call);
    const receipt = await project.save(edited);
    const [now, tokenAfter] = pairOf(await project.call(call));
    const change = receipt.changes.find((each) => each.function === call);
    return {
      ...{ was, now, tier: receipt.nothing === undefined ? change?.tier : "nothing", kept: token === tokenAfter },
      reason: receipt.nothing ?? change?.reason,
      ...(receipt.failure && { failure: receipt.failure.message }),
    };
  }

  /** All rows are run, some side by side, and each has a test of its own for what came of it. */
  function table(name: string, rows: readonly EditRow[]): void {
    describe(name, () => {
      const outcomes = new Map<EditRow, Promise<object>>();
      beforeAll(() => {
        const left = [...rows.entries()];
        const settled = new Map(rows.map((row) => [row, Promise.withResolvers<object>()]));
        for (const [row, { promise }] of settled) {
          promise.catch(() => {}); // its test tells
          outcomes.set(row, promise);
        }
        const work = async (): Promise<void> => {
          for (let next = left.shift(); next; next = left.shift()) {
            const [at, row] = next;
            await outcome(row, `${name}-${at}`).then(settled.get(row)!.resolve, settled.get(row)!.reject);
          }
        };
        for (let worker = 0; worker < sideBySide; worker++) void work();
      });
      it.each(rows)("$name: $tier", async (row) => {
        const { was, now, tier, reason } = row;
        expect(await outcomes.get(row)).toEqual({
          was,
          now,
          tier,
          kept: tier === "patch" || tier === "nothing",
          reason: expect.stringMatching(reason),
        });
      });
    });
  }

  table("plain", plainRows);
  table("class", classRows);

  const two = `${head("APP")}
def shared(x):
    return x


@app.function()
def f(x=2):
    return [shared(x), TOKEN]


@app.function()
def g(x=2):
    return [shared(x) + 1, TOKEN]
`;
  const open = (app: string, text = two): Promise<EditedProject> =>
    openEdited(app, { "app.py": text.replace("APP", app) }, pool.connect);
  const saved = (app: string, from: string, to: string, text = two): Sources => ({
    "app.py": text.replace("APP", app).replace(from, () => to),
  });

  it("two functions that one save changes are patched together, and one that it does not change is left alone", async () => {
    await using project = await open("both");
    const [before, other] = [await project.call("f"), await project.call("g")];
    const both = await project.save(saved("both", "return x\n", "return x * 10\n"));
    expect(both.changes.map(({ function: name, tier }) => `${name} ${tier}`).sort()).toEqual(["f patch", "g patch"]);
    expect(await project.call("f")).toEqual([20, pairOf(before)[1]]);
    expect(await project.call("g")).toEqual([21, pairOf(other)[1]]);
    const one = await project.save(saved("both", "shared(x) + 1", "shared(x) + 2", two.replace("return x\n", "return x * 10\n")));
    expect(one.changes.map(({ function: name, tier }) => `${name} ${tier}`)).toEqual(["g patch"]);
    expect([await project.call("f"), await project.call("g")]).toEqual([
      [20, pairOf(before)[1]],
      [22, pairOf(other)[1]],
    ]);
  });

  it("a function that comes is new, and one that goes leaves the others as they are", async () => {
    await using project = await open("comes");
    const before = await project.call("f");
    const added = `${two}\n\n@app.function()\ndef h():\n    return 7\n`;
    const receipt = await project.save(saved("comes", "", "", added));
    expect(receipt.changes).toEqual([{ function: "h", tier: "fork", reason: "new" }]);
    expect([await project.call("h"), await project.call("f")]).toEqual([7, before]);
    const gone = await project.save(saved("comes", "", "", added.replace(/\n@app.function\(\)\ndef g[\s\S]*?TOKEN\]\n/, "")));
    expect(gone.removed).toEqual(["g"]);
    expect([await project.call("h"), await project.call("f")]).toEqual([7, before]);
  });

  it("a syntax error keeps what serves, and mended with another body that is patched", async () => {
    await using project = await open("syntax");
    const before = await project.call("f");
    expect(await project.saveFaulty(saved("syntax", "def shared(x)", "def shared((x)"))).toBeTruthy();
    expect(await project.call("f")).toEqual(before);
    const receipt = await project.save(saved("syntax", "return x\n", "return x * 3\n"));
    expect(receipt.changes.map(({ tier }) => tier)).toEqual(["patch", "patch"]);
    expect(await project.call("f")).toEqual([6, pairOf(before)[1]]);
  });

  it("an import that fails keeps what serves, and the mended module is loaded anew", async () => {
    await using project = await open("import");
    const before = await project.call("f");
    const failed = await project.save(saved("import", "TOKEN = time", "import missing_module\nmissing_module.x()\nTOKEN = time"));
    expect(failed.failure?.message).toMatch(/missing_module/);
    expect(await project.call("f")).toEqual(before);
    const mended = await project.save(saved("import", "return x\n", "return x * 3\n"));
    expect(mended.changes.map(({ tier }) => tier)).toEqual(["fork", "fork"]);
    const after = pairOf(await project.call("f"));
    expect(after[0]).toBe(6);
    expect(after[1]).not.toBe(pairOf(before)[1]);
  });

  it("a traceback right after a patch above it names the lines that the editor shows", async () => {
    const text = two.replace("shared(x) + 1", "shared(x) / 0");
    await using project = await open("lines", text);
    const lines = async (): Promise<unknown> => ((await project.call("g")) as { lines: number[] }).lines;
    expect(await lines()).toEqual([19]);
    await project.save(saved("lines", "return x\n", "y = x\n\n    return y\n", text));
    expect(await lines()).toEqual([21]);
  });
});

const pairOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);
