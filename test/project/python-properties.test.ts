// Of random projects and random edits: what was reached and changed always shows, and parsing only the edit changes nothing.

import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { createPythonDescriber } from "../../project/describe/python.ts";
import { type Files, snapshotOfFiles } from "./description.ts";

const describer = createPythonDescriber();
const second = createPythonDescriber();
afterAll(() => Promise.all([describer[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]));

async function digests(files: Files, using = describer, removed: string[] = []): Promise<Map<string, string>> {
  const changed = Object.entries(files).map(([path, source]) => ({ path, source }));
  const { functions } = await using.describe({ changed, removed }, snapshotOfFiles(files));
  return new Map(functions.map(({ spec, digest }) => [spec.name, digest]));
}

/** Definitions 0…n-1 over three modules; `calls[i]` are those that i uses, always earlier ones. The last three are functions of the app. */
interface Graph {
  values: number[];
  calls: number[][];
  kinds: ("def" | "constant" | "class")[];
}

const count = 9;
const exported = [6, 7, 8];
const graphs: fc.Arbitrary<Graph> = fc.record({
  values: fc.array(fc.nat(99), { minLength: count, maxLength: count }),
  kinds: fc.array(fc.constantFrom("def", "constant", "class"), { minLength: count, maxLength: count }),
  calls: fc.tuple(
    ...Array.from({ length: count }, (_, at) =>
      fc.uniqueArray(fc.nat(Math.max(0, at - 1)), { maxLength: 3 }).map((found) => found.filter((other) => other < at)),
    ),
  ),
});

const moduleOf = (at: number): string => (exported.includes(at) ? "app" : at % 2 === 0 ? "even" : "odd");

function sourcesOf({ values, calls, kinds }: Graph): Files {
  const modules: Record<string, string[]> = {
    even: ["import odd"],
    odd: ["import even"],
    app: ["import hob, even", "from odd import *", 'app = hob.App("graph")'],
  };
  modules["app"]![1] = `from odd import ${[1, 3, 5].map((at) => `d${at}`).join(", ")}`;
  for (let at = 0; at < count; at++) {
    const home = moduleOf(at);
    const name = (other: number): string => {
      const theirs = moduleOf(other);
      if (theirs === home) return `d${other}`;
      return home === "app" && theirs === "odd" ? `d${other}` : `${theirs}.d${other}`;
    };
    const used = calls[at]!.map((other) => name(other));
    const sum = [String(values[at]), ...used.map((text) => `f(${text})`)].join(" + ");
    const kind = exported.includes(at) ? "def" : kinds[at]!;
    // A constant would use others while its module is imported; the lambda keeps the graph free of import order.
    if (kind === "constant") modules[home]!.push(`d${at} = lambda f=None: ${sum}`);
    else if (kind === "class") modules[home]!.push(`class d${at}:\n    def run(self, f):\n        return ${sum}`);
    else modules[home]!.push(`${home === "app" ? "@app.function()\n" : ""}def d${at}(f=None):\n    return ${sum}`);
  }
  return Object.fromEntries(Object.entries(modules).map(([name, lines]) => [`${name}.py`, `${lines.join("\n\n")}\n`]));
}

function reaches(calls: number[][], from: number, to: number): boolean {
  return from === to || calls[from]!.some((next) => reaches(calls, next, to));
}

describe("a version's digest", () => {
  it("changes exactly when a definition that the function reaches has changed", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.nat(count - 1), async (graph, at) => {
        const before = await digests(sourcesOf(graph));
        const values = graph.values.map((value, index) => (index === at ? value + 1 : value));
        const after = await digests(sourcesOf({ ...graph, values }));
        for (const entry of exported) {
          const name = `d${entry}`;
          expect([name, before.get(name) !== after.get(name)]).toEqual([name, reaches(graph.calls, entry, at)]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("is the same whether an edit was parsed alone or the file as a whole", async () => {
    const lines = [
      "import hob",
      'app = hob.App("x")',
      "@app.function()",
      "def a(x):",
      "    return b(x)",
      "def b(x):",
      "    if x:",
      "        return 1",
      "    else:",
      "        return 2",
      "x = '''",
      "'''",
      "else:",
      "@app.function()",
      "def c(): return (1,",
      ")",
      "# a comment",
      "",
      "y = 1; z = 2",
      "y = 1 \\",
      "  + 2",
      "try:",
      "    pass",
      "except Exception:",
      "    pass",
    ];
    const text = fc
      .array(fc.constantFrom(...lines), { minLength: 3, maxLength: 14 })
      .map((found) => ["import hob", 'app = hob.App("x")', ...found].join("\n"));
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 2, maxLength: 5 }), async (texts) => {
        await digests({ "app.py": "" });
        for (const source of texts) {
          const files = { "app.py": source };
          const incremental = await describer.describe(
            { changed: [{ path: "app.py", source }], removed: [] },
            snapshotOfFiles(files),
          );
          // A file that does not parse leaves what was there before, so only those that do can be compared with a fresh start.
          await second.describe({ changed: [], removed: ["app.py"] }, snapshotOfFiles({}));
          const fresh = await second.describe({ changed: [{ path: "app.py", source }], removed: [] }, snapshotOfFiles(files));
          expect(
            incremental.diagnostics
              .filter(({ message }) => /syntax|invalid|unexpected|expected|unterminated|never closed/.test(message))
              .map(({ line, message }) => [line, message]),
          ).toEqual(
            fresh.diagnostics
              .filter(({ message }) => /syntax|invalid|unexpected|expected|unterminated|never closed/.test(message))
              .map(({ line, message }) => [line, message]),
          );
          if (fresh.diagnostics.some(({ sourceLine, message }) => sourceLine !== "" && !message.includes("two functions")))
            continue;
          expect(incremental.functions.map(({ spec, digest }) => [spec.name, spec.line, digest])).toEqual(
            fresh.functions.map(({ spec, digest }) => [spec.name, spec.line, digest]),
          );
        }
      }),
      { numRuns: 150 },
    );
  });
});
