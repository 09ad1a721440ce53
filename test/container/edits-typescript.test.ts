// The table of edits of TypeScript, each as its user makes it: saved, described, published, and called on a real pool. One project has all rows.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EditedProject, openEdited, type Sources } from "../drive/edited-project.ts";
import { startPool, type TestPool } from "../drive/pool.ts";
import { rootWithContainers } from "../drive/requirements.ts";

interface EditRow {
  name: string;
  /** Of the row's module; NAME is its function, which returns its value and `token`, made when the module was evaluated. */
  app: string;
  files?: Sources;
  edits: [file: string, from: string, to: string][];
  method?: string;
  was: unknown;
  now: unknown;
  tier: "patch" | "fork" | "nothing";
  reason: RegExp;
}

const plain = (body: string): string => `export const NAME = app.function({}, () => {\n  return [${body}, token];\n});\n`;
const inApp = (from: string, to: string): EditRow["edits"] => [["app.ts", from, to]];

const rows: EditRow[] = [
  { name: "a body", app: plain("1"), edits: inApp("[1,", "[2,"), was: 1, now: 2, tier: "patch", reason: /^body changed$/ },
  {
    name: "a comment",
    app: plain("1"),
    edits: inApp("  return", "  // why\n  return"),
    ...{ was: 1, now: 1, tier: "nothing", reason: /comment/ },
  },
  {
    name: "an async body",
    app: "export const NAME = app.function({}, async () => {\n  await null;\n  return [1, token];\n});\n",
    edits: inApp("[1,", "[2,"),
    ...{ was: 1, now: 2, tier: "patch", reason: /body/ },
  },
  {
    name: "a generator's body",
    app: "export const NAME = app.function({}, function* () {\n  yield 1;\n  yield token;\n});\n",
    edits: inApp("yield 1", "yield 2"),
    ...{ was: 1, now: 2, tier: "patch", reason: /body/ },
  },
  {
    name: "a helper function",
    app: `function help(n: number): number {\n  return n + 1;\n}\n${plain("help(1)")}`,
    edits: inApp("n + 1", "n + 10"),
    ...{ was: 2, now: 11, tier: "patch", reason: /module code/ },
  },
  {
    name: "a helper that is a constant",
    app: `const help = (n: number) => n + 1;\n${plain("help(1)")}`,
    edits: inApp("n + 1", "n + 10"),
    ...{ was: 2, now: 11, tier: "patch", reason: /module code/ },
  },
  {
    name: "a nested function",
    app: `function outer(): number {\n  const inner = () => 1;\n  return inner();\n}\n${plain("outer()")}`,
    edits: inApp("() => 1", "() => 2"),
    ...{ was: 1, now: 2, tier: "patch", reason: /./ },
  },
  {
    name: "a recursive function",
    app: `function fact(n: number): number {\n  return n < 2 ? 1 : n * fact(n - 1);\n}\n${plain("fact(4)")}`,
    edits: inApp("? 1 :", "? 2 :"),
    ...{ was: 24, now: 48, tier: "patch", reason: /./ },
  },
  {
    name: "a helper of another module",
    app: `import { help } from "./help.ts";\n${plain("help(1)")}`,
    files: { "help.ts": "export function help(n: number): number {\n  return n + 1;\n}\n" },
    edits: [["help.ts", "n + 1", "n + 10"]],
    ...{ was: 2, now: 11, tier: "patch", reason: /reaches .*help\.ts/ },
  },
  {
    name: "a helper behind export * and a namespace",
    app: `import * as all from "./all.ts";\n${plain("all.help(1)")}`,
    files: {
      "all.ts": 'export * from "./help.ts";\n',
      "help.ts": "export function help(n: number): number {\n  return n + 1;\n}\n",
    },
    edits: [["help.ts", "n + 1", "n + 10"]],
    // What a method of something unknown leaves behind is not known, and a namespace looks like one.
    ...{ was: 2, now: 11, tier: "fork", reason: /state/ },
  },
  {
    name: "modules that import each other",
    app: `import { even } from "./even.ts";\n${plain("even(4)")}`,
    files: {
      "even.ts":
        'import { odd } from "./odd.ts";\nexport function even(n: number): boolean {\n  return n === 0 || odd(n - 1);\n}\n',
      "odd.ts":
        'import { even } from "./even.ts";\nexport function odd(n: number): boolean {\n  return n !== 0 && even(n - 1);\n}\n',
    },
    edits: [["odd.ts", "n !== 0 &&", "n === 77 &&"]],
    ...{ was: true, now: false, tier: "patch", reason: /./ },
  },
  {
    name: "a module that is imported when it is needed",
    app: `export const NAME = app.function({}, async () => [(await import("./late.ts")).late(), token]);\n`,
    files: { "late.ts": "export function late(): number {\n  return 1;\n}\n" },
    edits: [["late.ts", "return 1", "return 2"]],
    ...{ was: 1, now: 2, tier: "fork", reason: /state/ },
  },
  {
    name: "a default value",
    app: `function help(n: number, by = 1): number {\n  return n + by;\n}\n${plain("help(1)")}`,
    edits: inApp("by = 1", "by = 10"),
    ...{ was: 2, now: 11, tier: "patch", reason: /./ },
  },
  {
    name: "a method of a class that calls make",
    app: `class Box {\n  get(): number {\n    return 1;\n  }\n}\n${plain("new Box().get()")}`,
    edits: inApp("return 1", "return 2"),
    ...{ was: 1, now: 2, tier: "patch", reason: /./ },
  },
  {
    name: "a helper beside a counter that nothing of it reaches",
    app: `let calls = 0;\nexport const other = () => ++calls;\nfunction help(): number {\n  return 1;\n}\n${plain("help()")}`,
    edits: inApp("return 1", "return 2"),
    ...{ was: 1, now: 2, tier: "patch", reason: /./ },
  },
  {
    name: "code that has filled a cache",
    app: `const cache = new Map<string, number>();\nfunction help(): number {\n  return 1;\n}\nfunction cached(): number {\n  if (!cache.has("k")) cache.set("k", help());\n  return cache.get("k") ?? 0;\n}\n${plain("cached()")}`,
    edits: inApp("return 1;", "return 2;"),
    ...{ was: 1, now: 2, tier: "fork", reason: /state/ },
  },
  {
    name: "code that has counted",
    app: `let calls = 0;\n${plain("++calls * 1")}`,
    edits: inApp("* 1", "* 10"),
    ...{ was: 1, now: 10, tier: "fork", reason: /state/ },
  },
  {
    name: "a constant",
    app: `const LIMIT = 1;\n${plain("LIMIT")}`,
    edits: inApp("LIMIT = 1", "LIMIT = 2"),
    ...{ was: 1, now: 2, tier: "fork", reason: /module code/ },
  },
  {
    name: "a helper that ran when the module was evaluated",
    app: `function help(): number {\n  return 1;\n}\nconst TABLE = [help()];\n${plain("TABLE[0]")}`,
    edits: inApp("return 1;", "return 2;"),
    ...{ was: 1, now: 2, tier: "fork", reason: /help is used while the module is loaded/ },
  },
  {
    name: "a helper that a table holds",
    app: `function help(): number {\n  return 1;\n}\nconst table = { help };\n${plain("table.help()")}`,
    edits: inApp("return 1;", "return 2;"),
    ...{ was: 1, now: 2, tier: "fork", reason: /help is used/ },
  },
  {
    name: "a class of which the module has an instance",
    app: `class Box {\n  get(): number {\n    return 1;\n  }\n}\nconst box = new Box();\n${plain("box.get()")}`,
    edits: inApp("return 1;", "return 2;"),
    ...{ was: 1, now: 2, tier: "fork", reason: /Box is used/ },
  },
  {
    name: "a base class",
    app: `class A {\n  n(): number {\n    return 1;\n  }\n}\nclass B {\n  n(): number {\n    return 2;\n  }\n}\nclass Box extends A {}\n${plain("new Box().n()")}`,
    edits: inApp("extends A", "extends B"),
    ...{ was: 1, now: 2, tier: "fork", reason: /./ },
  },
  {
    name: "an import",
    app: `import { one as help } from "./help.ts";\n${plain("help()")}`,
    files: { "help.ts": "export const one = () => 1;\nexport const two = () => 2;\n" },
    edits: inApp("one as", "two as"),
    ...{ was: 1, now: 2, tier: "fork", reason: /./ },
  },
  {
    name: "an effect of the module",
    app: `const seen: number[] = [];\nseen.push(1);\n${plain("seen[0]")}`,
    edits: inApp("push(1)", "push(2)"),
    ...{ was: 1, now: 2, tier: "fork", reason: /module code/ },
  },
  {
    name: "an enum",
    app: `enum Kind {\n  A = 1,\n}\n${plain("Kind.A")}`,
    edits: inApp("A = 1", "A = 2"),
    ...{ was: 1, now: 2, tier: "fork", reason: /./ },
  },
  {
    name: "imported JSON",
    app: `import table from "./table.json";\n${plain("table.a")}`,
    files: { "table.json": '{"a":1}' },
    edits: [["table.json", "1", "2"]],
    ...{ was: 1, now: 2, tier: "fork", reason: /table\.json/ },
  },
  {
    name: "a function added beside it",
    app: plain("1"),
    edits: inApp("export const", "const more = () => 2;\nexport const"),
    ...{ was: 1, now: 1, tier: "nothing", reason: /./ },
  },
  ...classRows(),
];

function classRows(): EditRow[] {
  const app = `export const NAME = app.cls({}, class {
  net = 0;
  enter(): void {
    this.net = this.size() * 10;
  }
  size(): number {
    return 1;
  }
  predict(): unknown {
    return [this.net + this.bias(), token];
  }
  bias(): number {
    return 1;
  }
});
`;
  const common = { app, method: "predict", was: 11 };
  return [
    { ...common, name: "a method", edits: inApp("this.net + ", "this.net - "), now: 9, tier: "patch", reason: /body/ },
    {
      ...common,
      name: "a method that another calls",
      edits: inApp("bias(): number {\n    return 1", "bias(): number {\n    return 5"),
      now: 15,
      tier: "patch",
      reason: /./,
    },
    { ...common, name: "enter", edits: inApp("* 10", "* 20"), now: 21, tier: "fork", reason: /enter changed/ },
    {
      ...common,
      name: "a method that enter calls",
      edits: inApp("size(): number {\n    return 1", "size(): number {\n    return 2"),
      now: 21,
      tier: "fork",
      reason: /size runs when the class is loaded/,
    },
    { ...common, name: "a field", edits: inApp("net = 0", "net = 7"), now: 11, tier: "fork", reason: /./ },
    {
      name: "a method of a class whose methods leave state",
      app: "export const NAME = app.cls({}, class {\n  calls = 0;\n  count(): unknown {\n    return [++this.calls * 1, token];\n  }\n});\n",
      method: "count",
      edits: inApp("* 1", "* 10"),
      ...{ was: 1, now: 10, tier: "fork", reason: /state/ },
    },
  ];
}

describe.skipIf(!rootWithContainers())("an edit of TypeScript on a pool", () => {
  let pool: TestPool;
  let project: EditedProject;
  const files: Sources = { "app.ts": 'import { App } from "hob";\nexport const app = new App("edits");\n' };

  beforeAll(async () => {
    for (const [at, row] of rows.entries()) {
      const head = 'import { app } from "../app.ts";\nconst token = Math.random();\n';
      files[`r${at}/app.ts`] = head + row.app.replaceAll("NAME", `r${at}`);
      for (const [file, text] of Object.entries(row.files ?? {})) files[`r${at}/${file}`] = text;
    }
    pool = startPool();
    await pool.connect();
    project = await openEdited("edits", files, pool.connect);
  }, 90_000);
  afterAll(async () => {
    await project?.[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
  });

  it.each(rows)("$name: $tier", async (row) => {
    const at = rows.indexOf(row);
    const name = `r${at}${row.method ? `.${row.method}` : ""}`;
    const [was, token] = (await project.call(name)) as unknown[];
    for (const [file, from, to] of row.edits) {
      const path = `r${at}/${file}`;
      const edited = files[path]!.replace(from, () => to);
      expect(edited).not.toBe(files[path]);
      files[path] = edited;
    }
    const receipt = await project.save(files);
    const [now, tokenAfter] = (await project.call(name)) as unknown[];
    const change = receipt.changes.find((each) => each.function === name);
    expect({
      ...{ was, now, tier: receipt.nothing === undefined ? change?.tier : "nothing", kept: token === tokenAfter },
      reason: receipt.nothing ?? change?.reason,
      ...(receipt.failure && { failure: receipt.failure.message }),
    }).toEqual({
      was: row.was,
      now: row.now,
      tier: row.tier,
      kept: row.tier !== "fork",
      reason: expect.stringMatching(row.reason),
    });
  });
});
