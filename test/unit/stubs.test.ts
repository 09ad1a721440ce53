// Stubs: signatures as they were recorded, written in both languages, and read by the languages themselves.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { readType, writeType } from "../../cli/stubs/types.ts";
import { moduleName, pythonModule, pythonStub, typescriptStub } from "../../cli/stubs/write.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";

test.each([
  ["list[float]", "list[float]", "number[]"],
  ["Optional[str]", "Union[str, None]", "string | null"],
  ["dict[str, list[int] | None]", "dict[str, Union[list[int], None]]", "Record<string, number[] | null>"],
  ["typing.Literal['a', 'b']", 'Union[Literal["a"], Literal["b"]]', '"a" | "b"'],
  ["tuple[int, ...]", "tuple[int, ...]", "number[]"],
  ["tuple[int, str]", "tuple[int, str]", "[number, string]"],
  ["'bytes'", "bytes", "Uint8Array"],
  ["np.ndarray", "Any", "unknown"],
  ["Callable[[int], str]", "Any", "unknown"],
  ["list[Row]", "list[Any]", "unknown[]"],
  ["", "Any", "unknown"],
])("the Python annotation %s is %s and %s", (text, python, typescript) => {
  const type = readType(text, "python");
  expect([writeType(type, "python"), writeType(type, "typescript")]).toEqual([python, typescript]);
});

test.each([
  ["Promise<string[]>", "list[str]", "string[]"],
  ["readonly (number | null)[]", "list[Union[float, None]]", "(number | null)[]"],
  ['"a" | "b"', 'Union[Literal["a"], Literal["b"]]', '"a" | "b"'],
  ["Record<string, boolean>", "dict[str, bool]", "Record<string, boolean>"],
  ["[number, string]", "tuple[float, str]", "[number, string]"],
  ["{ width: number }", "Any", "unknown"],
  ["Map<string, number>", "Any", "unknown"],
])("the TypeScript annotation %s is %s and %s", (text, python, typescript) => {
  const type = readType(text, "typescript");
  expect([writeType(type, "python"), writeType(type, "typescript")]).toEqual([python, typescript]);
});

const parameter = (name: string, kind: string, annotation: string, hasDefault = false) => ({
  name,
  kind,
  annotation,
  hasDefault,
});
const images = {
  app: "my-images",
  of: "deployment 3",
  functions: [
    {
      ...{ name: "embed", language: "python", returns: "list[float]", doc: 'One "vector".' },
      parameters: [
        parameter("path", "positional", "str"),
        parameter("width", "positional", "int", true),
        parameter("exact", "keyword-only", "bool", true),
      ],
    },
    { name: "Model.predict", language: "python", returns: "float", parameters: [parameter("x", "positional", "float")] },
    {
      ...{ name: "resize", language: "typescript", returns: "Promise<string>" },
      parameters: [parameter("path", "positional", "string"), parameter("sizes", "variadic", "number[]")],
    },
  ].map((spec) => FunctionSpec.fromPartial(spec)),
};

test("Python reads the stub, and the module beside it names each function", () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-stubs-"));
  try {
    expect(moduleName(images.app)).toBe("hob_my_images");
    writeFileSync(join(folder, "hob_my_images.py"), pythonModule(images));
    writeFileSync(join(folder, "hob_my_images.pyi"), pythonStub(images));
    const script = `import ast, json, hob_my_images as m
tree = ast.parse(open("hob_my_images.pyi").read())
remote = {c.name: ast.unparse(f.args) + " -> " + ast.unparse(f.returns) for c in tree.body if isinstance(c, ast.ClassDef) for f in c.body if getattr(f, "name", "") == "remote"}
exec(open("hob_my_images.pyi").read())
print(json.dumps([remote, repr(m.embed), repr(m.Model.predict), m.resize.name]))`;
    const env = { PYTHONPATH: `${folder}:${join(installRoot, "sdk/python")}` };
    const out = execFileSync("/usr/bin/python3", ["-c", script], { cwd: folder, env, encoding: "utf8" });
    expect(JSON.parse(out)).toEqual([
      {
        _embed: "self, path: str, width: int=..., *, exact: bool=... -> list[float]",
        _Model_predict: "self, x: float -> float",
        _resize: "self, path: str, /, *sizes: float -> str",
      },
      "<hob function my-images@live/embed>",
      "<hob function my-images@live/Model.predict>",
      "resize",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("TypeScript types a call by name from the stub, and refuses what does not fit", () => {
  const folder = mkdtempSync(join(installRoot, ".hob-stubs-"));
  try {
    writeFileSync(join(folder, "hob_my_images.d.ts"), typescriptStub(images));
    writeFileSync(
      join(folder, "program.ts"),
      `import { functionFromName } from "hob";
export const vector: Promise<number[]> = functionFromName("my-images", "embed").remote("a.jpg", 3);
export const text: Promise<string> = functionFromName("my-images", "resize", { version: 3 }).remote("a.jpg", 1, 2);
export const other: Promise<unknown> = functionFromName("elsewhere", "far").remote(1, "two");
// @ts-expect-error a path is text
functionFromName("my-images", "embed").remote(3);
// @ts-expect-error a vector is no text
export const wrong: Promise<string> = functionFromName("my-images", "embed").remote("a.jpg");
`,
    );
    const options = { target: "es2024", module: "nodenext", strict: true, noEmit: true, allowImportingTsExtensions: true };
    const types = {
      types: ["node"],
      skipLibCheck: true,
      erasableSyntaxOnly: true,
      paths: { hob: ["../sdk/typescript/index.ts"] },
    };
    const config = { compilerOptions: { ...options, ...types }, files: ["program.ts", "hob_my_images.d.ts"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    execFileSync(process.execPath, [join(installRoot, "node_modules/typescript/bin/tsc"), "-p", folder], {
      encoding: "utf8",
      stdio: "pipe",
    });
  } catch (error) {
    throw new Error((error as { stdout?: string }).stdout ?? String(error));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
