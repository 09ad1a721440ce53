// What is wrong with a project's Python is said with its place, and what served goes on serving.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPythonDescriber, type LanguageDescriber } from "../../project/describe/python.ts";
import { type Files, type Project, projectOf } from "./description.ts";

const good: Files = {
  "app.py":
    'import hob\nimport helpers\napp = hob.App("images")\n\n@app.function()\ndef one(x, /, y: int = 1, *rest, z, **more) -> str:\n    """Counts.\n\n    More."""\n    return helpers.clean(x)\n',
  "other.py":
    "from app import app\n\n@app.function(name='second', memory=\"1GiB\", retries=2, cpu=0.5)\ndef two(x):\n    return x\n",
  "helpers.py": "def clean(x):\n    return x\n",
};

describe("describing Python", () => {
  let describer: LanguageDescriber;
  let project: Project;
  beforeEach(() => {
    describer = createPythonDescriber();
    project = projectOf(describer);
  });
  afterEach(() => describer[Symbol.asyncDispose]());

  it("gives specs, parameters and places, with the app found across modules", async () => {
    const { functions, diagnostics } = await project.describe(good);
    expect(diagnostics).toEqual([]);
    expect(functions.map(({ spec }) => spec)).toMatchObject([
      {
        app: "images",
        name: "one",
        language: "python",
        module: "app.py",
        qualname: "one",
        line: 6,
        doc: "Counts.",
        returns: "str",
        image: { source: "host" },
        parameters: [
          { name: "x", kind: "positional-only", hasDefault: false },
          { name: "y", kind: "positional", hasDefault: true, annotation: "int" },
          { name: "rest", kind: "variadic" },
          { name: "z", kind: "keyword-only", hasDefault: false },
          { name: "more", kind: "keywords" },
        ],
      },
      { app: "images", name: "second", qualname: "two", module: "other.py", memoryBytes: 1 << 30, retries: 2, cpu: 0.5 },
    ]);
  });

  it("a syntax error names file, line and column, and holds exactly the functions whose modules import that file", async () => {
    await project.describe(good);
    const { functions, diagnostics } = await project.describe({ ...good, "helpers.py": "def clean(x):\n    return (x\n" });
    expect(diagnostics).toEqual([
      { file: "helpers.py", line: 2, column: 12, message: "'(' was never closed", sourceLine: "    return (x" },
    ]);
    expect(functions.map(({ spec, held }) => [spec.name, held])).toEqual([
      ["one", true],
      ["second", true],
    ]);
    const apart = { ...good, "app.py": good["app.py"]!.replace("import helpers\n", "").replace("helpers.clean(x)", "x") };
    await project.describe(apart);
    const broken = await project.describe({ ...apart, "helpers.py": "def clean(x:\n" });
    expect(broken.functions.map(({ held }) => held)).toEqual([false, false]);
  });

  it("once mended, an error leaves no trace", async () => {
    await project.describe(good);
    await project.describe({ ...good, "app.py": good["app.py"]!.replace("return helpers", "retrun helpers") });
    expect(await project.edit(good)).toBe("comment or formatting only, or code that no function reaches");
    expect((await project.describe(good)).diagnostics).toEqual([]);
  });

  it("a decorator whose arguments cannot be evaluated is a diagnostic, and the function keeps its version", async () => {
    const before = await project.describe(good);
    const { functions, diagnostics } = await project.describe({
      ...good,
      "other.py": good["other.py"]!.replace("1GiB", "1 horse"),
    });
    expect(diagnostics).toMatchObject([{ file: "other.py", line: 3, column: 2 }]);
    expect(diagnostics[0]!.message).toContain("1 horse");
    expect(functions[1]).toMatchObject({ digest: before.functions[1]!.digest, held: true });
  });

  it("arguments that never come to an end are given up after two seconds, and everything else goes on", async () => {
    const endless = {
      ...good,
      "other.py": good["other.py"]!.replace(
        "from app import app\n",
        "from app import app\ndef spin():\n    while True: pass\nSIZE = spin()\n",
      ).replace('"1GiB"', "SIZE"),
    };
    const { functions, diagnostics } = await project.describe(endless);
    expect(diagnostics[0]!.message).toContain("did not finish within 2 s");
    expect(functions.map(({ spec }) => spec.name)).toEqual(["one"]);
  });

  it("what the arguments print, import or exit with does not reach the describer", async () => {
    const rude = {
      ...good,
      "other.py": good["other.py"]!.replace('"1GiB"', "SIZE").replace(
        "from app import app\n",
        "from app import app\nimport sys\ndef size():\n    print('noise')\n    sys.exit(3)\nSIZE = size()\n",
      ),
    };
    const { diagnostics } = await project.describe(rude);
    expect(diagnostics[0]!.message).toContain("SystemExit");
    expect((await project.describe(good)).diagnostics).toEqual([]);
  });

  it("the laptop needs none of the packages that the functions use", async () => {
    const heavy = {
      ...good,
      "app.py": `import torch\nimport no_such_package as np\nnet = torch.load_net()\n${good["app.py"]!.replace("helpers.clean(x)", "net(np.array(x))")}`,
    };
    const { functions, diagnostics } = await project.describe(heavy);
    expect(diagnostics).toEqual([]);
    expect(functions.length).toBe(2);
  });

  it("two functions of one name, and an app without a constant name, are said at their place", async () => {
    const twice = await project.describe({ ...good, "other.py": "from app import app\n@app.function()\ndef one(): pass\n" });
    expect(twice.diagnostics).toMatchObject([{ file: "other.py", line: 2 }]);
    expect(twice.diagnostics[0]!.message).toContain("app images has two functions named one: the other one is in app.py line 5");
    const nameless = await project.describe({ ...good, "app.py": good["app.py"]!.replace('"images"', "'im' + 'ages'") });
    expect(nameless.diagnostics).toMatchObject([{ file: "app.py", line: 3 }]);
    expect(nameless.diagnostics[0]!.message).toContain('hob.App("images")');
  });

  it("an interpreter that is killed is started again, and knows the project", async () => {
    const before = await project.describe(good);
    const child = await import("node:child_process");
    const pids = child.execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" });
    const pid = pids.split("\n").find((line) => line.includes("describe.py"));
    process.kill(Number.parseInt(pid!.trim(), 10), "SIGKILL");
    await expect
      .poll(() =>
        project.describe(good).then(
          (found) => found.functions.map(({ digest }) => digest),
          () => [],
        ),
      )
      .toEqual(before.functions.map(({ digest }) => digest));
  });
});
