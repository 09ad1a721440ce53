// Which functions an edit of a TypeScript project changes, and why: a row an edit.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LanguageDescriber } from "../../project/describe/python.ts";
import { createTypeScriptDescriber } from "../../project/describe/typescript.ts";
import { type Files, type Project, projectOf } from "./description.ts";

const base: Files = {
  "app.ts": `import { Image } from "hob";
import { app } from "./shared/app.js";
import { clean, twice } from "./helpers.ts";
import { pad } from "padding";

const image = Image.host();
const LIMIT = 3;
const memory = "256MiB";

/** Makes a picture smaller. */
export const resize = app.function({ image, memory }, async (path: string, width = 64, ...rest: number[]): Promise<string> => {
  return clean(path).slice(0, LIMIT) + width + rest.length;
});

export const count = app.function({ timeout: 5 }, (text: string, deep?: boolean) => twice(text).length + (deep ? 1 : 0));

export const padded = app.function({}, function padded(text: string) {
  return pad(text);
});
`,
  "helpers.ts": `export function clean(text: string): string {
  return text.trim();
}

export function twice(text: string): string {
  return text + text;
}

export const unused = 1;
`,
  "shared/app.ts": `import { App } from "hob";

export const app = new App("thumbs");
`,
  "node_modules/padding/package.json": '{"name": "padding", "version": "1.0.0", "main": "index.js", "sideEffects": false}',
  "node_modules/padding/index.js": "exports.pad = (text) => text.padStart(9);\n",
  "notes.md": "# notes\n",
};
const silent = "comment or formatting only, or code that no function reaches";

const rows: { name: string; file: string; from: string | RegExp; to: string; changes: Record<string, string> | string }[] = [
  {
    name: "a body",
    file: "app.ts",
    from: "width + rest.length",
    to: "width - rest.length",
    changes: { resize: "patch: body changed" },
  },
  {
    name: "a comment in a body",
    file: "app.ts",
    from: "  return clean",
    to: "  // why\n  return /* here */ clean",
    changes: silent,
  },
  { name: "a comment above everything", file: "app.ts", from: /^/, to: "// first\n\n", changes: silent },
  {
    name: "formatting",
    file: "helpers.ts",
    from: "return text + text;",
    to: "return (\n    text +\n    text\n  );",
    changes: silent,
  },
  { name: "types alone", file: "app.ts", from: "text: string, deep?: boolean", to: "text: string, deep?: true", changes: silent },
  {
    name: "a helper",
    file: "helpers.ts",
    from: "text.trim()",
    to: "text.trimEnd()",
    changes: { resize: "patch: reaches helpers.ts" },
  },
  {
    name: "another helper",
    file: "helpers.ts",
    from: "text + text",
    to: "text + text + text",
    changes: { count: "patch: reaches helpers.ts" },
  },
  { name: "a helper that nobody reaches", file: "helpers.ts", from: "unused = 1", to: "unused = 2", changes: silent },
  {
    name: "a constant of the module",
    file: "app.ts",
    from: "LIMIT = 3",
    to: "LIMIT = 4",
    changes: { resize: "fork: module code of app.ts changed" },
  },
  {
    name: "an effect of the module",
    file: "app.ts",
    from: "const LIMIT",
    to: "console.log('loading');\nconst LIMIT",
    changes: Object.fromEntries(["resize", "count", "padded"].map((name) => [name, "fork: module code of app.ts changed"])),
  },
  {
    name: "the memory, behind a name",
    file: "app.ts",
    from: 'memory = "256MiB"',
    to: 'memory = "1GiB"',
    changes: { resize: "container: memory changed" },
  },
  { name: "the timeout", file: "app.ts", from: "timeout: 5", to: "timeout: 9", changes: { count: "patch: timeout changed" } },
  { name: "a default value", file: "app.ts", from: "width = 64", to: "width = 65", changes: { resize: "patch: body changed" } },
  { name: "a data file", file: "notes.md", from: "# notes", to: "# more", changes: "no function reaches notes.md" },
  {
    name: "a new module that nobody imports",
    file: "fresh.ts",
    from: /^/,
    to: "console.log(1);\n",
    changes: "no function reaches fresh.ts",
  },
  {
    name: "a function added",
    file: "app.ts",
    from: /$/,
    to: "export const more = app.function({}, () => 1);\n",
    changes: { more: "fork: new" },
  },
  { name: "a function removed", file: "app.ts", from: /export const padded[\s\S]*$/, to: "", changes: { padded: "removed" } },
];

describe("an edit of a TypeScript project", () => {
  let root: string;
  let describer: LanguageDescriber;
  let project: Project;

  const put = (files: Files): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "hob-typescript-"));
    put(base);
    describer = createTypeScriptDescriber(root);
    project = projectOf(describer);
  });
  afterEach(async () => {
    await describer[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
  });

  const inProject = Object.fromEntries(Object.entries(base).filter(([path]) => !path.startsWith("node_modules")));

  it("gives each function its spec, its parameters and a bundle", async () => {
    const { functions, diagnostics } = await project.describe(inProject);
    expect(diagnostics).toEqual([]);
    expect(functions.map(({ spec }) => `${spec.app}/${spec.name}`)).toEqual(["thumbs/resize", "thumbs/count", "thumbs/padded"]);
    const [resize, count, padded] = functions;
    expect(resize!.spec).toMatchObject({
      language: "typescript",
      module: "app.ts",
      qualname: "resize",
      memoryBytes: 256 << 20,
      doc: "Makes a picture smaller.",
      line: 11,
      returns: "Promise<string>",
      parameters: [
        { name: "path", kind: "positional", hasDefault: false, annotation: "string" },
        { name: "width", kind: "positional", hasDefault: true, annotation: "" },
        { name: "rest", kind: "variadic", hasDefault: false, annotation: "number[]" },
      ],
    });
    expect(count!.spec).toMatchObject({ timeoutMs: 5000, parameters: [{ name: "text" }, { name: "deep", hasDefault: true }] });
    // The functions of a file share its modules in a process, and so the bundle; what each reaches is its digest's matter.
    expect(padded!.bundle!.digest).toBe(resize!.bundle!.digest);
    expect(Buffer.from(padded!.bundle!.data).toString()).toContain("padStart(9)");
    expect(Object.keys(padded!.parts).join()).toContain("node_modules/padding");
    expect(Object.keys(resize!.parts).join()).not.toContain("padding");
  });

  it.each(rows)("$name", async ({ file, from, to, changes }) => {
    await project.describe(inProject);
    const before = inProject[file] ?? "";
    const after = before.replace(from, () => to);
    expect(after).not.toBe(before);
    put({ [file]: after });
    expect(await project.edit({ ...inProject, [file]: after })).toEqual(changes);
  });

  it("a syntax error names file, line and column, and the other functions keep what they have", async () => {
    const good = await project.describe(inProject);
    const bad = { ...inProject, "app.ts": inProject["app.ts"]!.replace("return pad(text);", "return pad(text;") };
    const { functions, diagnostics } = await project.describe(bad);
    expect(diagnostics[0]).toMatchObject({ file: "app.ts", line: 18, sourceLine: "  return pad(text;" });
    expect(diagnostics[0]!.column).toBeGreaterThan(1);
    expect(functions.map(({ digest, held }) => [digest, held])).toEqual(good.functions.map(({ digest }) => [digest, true]));
  });

  it("a fault in one module does not hold up functions that do not reach it", async () => {
    const more = {
      ...inProject,
      "other.ts": 'import { app } from "./shared/app.ts";\nexport const other = app.function({}, () => 1);\n',
    };
    put(more);
    await project.describe(more);
    const { functions, diagnostics } = await project.describe({
      ...more,
      "helpers.ts": "export function clean( {",
      "other.ts": more["other.ts"]!.replace("=> 1", "=> 2"),
    });
    expect(diagnostics[0]).toMatchObject({ file: "helpers.ts", line: 1 });
    expect(Object.fromEntries(functions.map(({ spec, held }) => [spec.name, held]))).toEqual({
      resize: true,
      count: true,
      padded: true,
      other: false,
    });
  });

  it("a body is put in place also where a module is imported twice, and once for nothing", async () => {
    const text = inProject["app.ts"]!.replace(
      "import { pad }",
      'import "./helpers.ts";\nimport * as nothing from "./helpers.ts";\nimport { pad }',
    );
    put({ "app.ts": text });
    await project.describe({ ...inProject, "app.ts": text });
    const after = text.replace("width + rest.length", "width - rest.length");
    expect(await project.edit({ ...inProject, "app.ts": after })).toEqual({ resize: "patch: body changed" });
  });

  // In the field: a save of an imported JSON file reloaded nothing, for only sources were told to the bundler.
  it("a file of another kind that a bundle holds changes its function", async () => {
    const source =
      'import { app } from "./shared/app.ts";\nimport table from "./table.json";\nexport const total = app.function({}, () => table.a);\n';
    const more = { ...inProject, "total.ts": source, "table.json": '{"a":1}' };
    put(more);
    await project.describe(more);
    put({ "table.json": '{"a":2}' });
    expect(await project.edit({ ...more, "table.json": '{"a":2}' })).toEqual({ total: "fork: reaches table.json" });
  });

  it("an import that leads nowhere is a diagnostic at its line", async () => {
    const { diagnostics } = await project.describe({
      ...inProject,
      "app.ts": inProject["app.ts"]!.replace("padding", "no-such-package"),
    });
    expect(diagnostics).toMatchObject([{ file: "app.ts", line: 4, column: 21 }]);
    expect(diagnostics[0]!.message).toContain("no-such-package");
  });

  it("options that throw are a diagnostic, and so is an app without a constant name", async () => {
    const broken = { ...inProject, "app.ts": inProject["app.ts"]!.replace('memory = "256MiB"', 'memory = "256 horses"') };
    expect((await project.describe(broken)).diagnostics[0]!.message).toMatch(/options of resize .*256 horses/);
    const nameless = { ...inProject, "shared/app.ts": inProject["shared/app.ts"]!.replace('"thumbs"', "String(1)") };
    expect((await project.describe(nameless)).diagnostics[0]).toMatchObject({ file: "shared/app.ts", line: 3 });
  });
});
