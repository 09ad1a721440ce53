// Which functions an edit of a Python project changes, and why: a row an edit.

import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createPythonDescriber, type LanguageDescriber } from "../../project/describe/python.ts";
import { type Files, type Project, projectOf } from "./description.ts";

const base: Files = {
  "app.py": `import hob
import numpy as np
from helpers import clean
import helpers as h
from pkg import tools
from pkg.deep.more import scale

app = hob.App("images")
image = hob.Image.host()
LIMIT = 3
MEMORY = "256MiB"
SECRET = 7


def shared(text):
    return text[:LIMIT]


class Model:
    factor = 2

    def run(self, x):
        return x * self.factor


@app.function(image=image, memory=MEMORY)
def embed(path: str, width: int = 64) -> list:
    """Embeds a picture."""
    return [clean(shared(path)), width]


@app.function()
def norm(x):
    return np.linalg.norm(x)


@app.function()
def predict(x):
    return Model().run(x) + h.offset


@app.function()
def packed(x):
    return tools.pack(scale(x))


@app.function()
def lazily(x):
    from late import late_helper

    return late_helper(x)


@app.function()
def lone(x):
    limit = x
    return [limit for limit in range(limit)]


@app.local()
def main(count: int = 3):
    print(embed.remote("x"), SECRET)
`,
  "helpers.py": `import re

offset = 1


def clean(text):
    return strip(text)


def strip(text):
    return re.sub("a", "b", text)


def unused():
    return 1
`,
  "late.py": "def late_helper(x):\n    return x\n\n\ndef other():\n    return 1\n",
  "pkg/__init__.py": "",
  "pkg/tools.py": "from .deep import more\n\n\ndef pack(x):\n    return more.scale(x)\n\n\ndef unpack(x):\n    return x\n",
  "pkg/deep/__init__.py": "",
  "pkg/deep/more.py": "from ...pkg import sizes\n\n\ndef scale(x):\n    return x * sizes.FACTOR\n",
  "pkg/sizes.py": "FACTOR = 2\nOTHER = 3\n",
  "notes.md": "# notes\n",
};
const all = ["embed", "norm", "predict", "packed", "lazily", "lone", "main"];
const every = (reason: string) => Object.fromEntries(all.map((name) => [name, `fork: ${reason}`]));
const silent = "comment or formatting only, or code that no function reaches";

interface Row {
  name: string;
  file: string;
  from: string | RegExp;
  to: string;
  changes: Record<string, string> | string;
}

const rows: Row[] = [
  {
    name: "a body",
    file: "app.py",
    from: "[clean(shared(path)), width]",
    to: "[width]",
    changes: { embed: "patch: body changed", main: "patch: body of embed changed" },
  },
  { name: "a comment", file: "app.py", from: "    limit = x\n", to: "    limit = x  # a comment\n", changes: silent },
  {
    name: "a comment line above everything",
    file: "app.py",
    from: "import hob\n",
    to: "# new\n\n\nimport hob\n",
    changes: silent,
  },
  {
    name: "formatting",
    file: "app.py",
    from: "Model().run(x) + h.offset",
    to: "(\n        Model().run( x )\n        + h.offset\n    )",
    changes: silent,
  },
  { name: "quotes and number forms", file: "helpers.py", from: '"a", "b"', to: "'a', 'b'", changes: silent },
  {
    name: "blank lines between functions",
    file: "helpers.py",
    from: "\n\n\ndef unused",
    to: "\n\n\n\n\n\ndef unused",
    changes: silent,
  },
  {
    name: "a docstring",
    file: "app.py",
    from: "Embeds a picture.",
    to: "Embeds an image.",
    changes: { embed: "patch: body changed", main: "patch: body of embed changed" },
  },
  {
    name: "a default value",
    file: "app.py",
    from: "width: int = 64",
    to: "width: int = 65",
    changes: { embed: "fork: default of embed changed", main: "fork: default of embed changed" },
  },
  {
    name: "a helper in the module",
    file: "app.py",
    from: "text[:LIMIT]",
    to: "text[1:LIMIT]",
    changes: { embed: "patch: body of shared changed", main: "patch: body of shared changed" },
  },
  {
    name: "a constant two steps away",
    file: "app.py",
    from: "LIMIT = 3",
    to: "LIMIT = 4",
    changes: { embed: "fork: reaches LIMIT", main: "fork: reaches LIMIT" },
  },
  {
    name: "a constant that only a local entry reaches",
    file: "app.py",
    from: "SECRET = 7",
    to: "SECRET = 8",
    changes: { main: "fork: reaches SECRET" },
  },
  {
    name: "a method of a class",
    file: "app.py",
    from: "x * self.factor",
    to: "x + self.factor",
    changes: { predict: "patch: body of Model.run changed" },
  },
  {
    name: "a class attribute",
    file: "app.py",
    from: "factor = 2",
    to: "factor = 3",
    changes: { predict: "fork: reaches Model" },
  },
  {
    name: "a helper of another module",
    file: "helpers.py",
    from: "return strip(text)",
    to: "return strip(text) + '!'",
    changes: { embed: "patch: body of helpers.clean changed", main: "patch: body of helpers.clean changed" },
  },
  {
    name: "a helper's helper",
    file: "helpers.py",
    from: '"a", "b"',
    to: '"a", "c"',
    changes: { embed: "patch: body of helpers.strip changed", main: "patch: body of helpers.strip changed" },
  },
  {
    name: "an attribute of an imported module",
    file: "helpers.py",
    from: "offset = 1",
    to: "offset = 2",
    changes: { predict: "fork: reaches helpers.offset" },
  },
  { name: "a function that nobody reaches", file: "helpers.py", from: "return 1", to: "return 2", changes: silent },
  {
    name: "a new function that nobody reaches",
    file: "helpers.py",
    from: "offset = 1\n",
    to: "offset = 1\ndef fresh(): return 0\n",
    changes: silent,
  },
  {
    name: "a relative import's target",
    file: "pkg/deep/more.py",
    from: "x * sizes",
    to: "x + sizes",
    changes: { packed: "patch: body of pkg.deep.more.scale changed" },
  },
  {
    name: "a constant through three packages",
    file: "pkg/sizes.py",
    from: "FACTOR = 2",
    to: "FACTOR = 5",
    changes: { packed: "fork: reaches pkg.sizes.FACTOR" },
  },
  { name: "another constant beside it", file: "pkg/sizes.py", from: "OTHER = 3", to: "OTHER = 4", changes: silent },
  {
    name: "a function beside the one that is used",
    file: "pkg/tools.py",
    from: "return x\n",
    to: "return -x\n",
    changes: silent,
  },
  {
    name: "an effect in a package's __init__",
    file: "pkg/__init__.py",
    from: "",
    to: "print('loading')\n",
    changes: every("module code of pkg/__init__.py changed"),
  },
  {
    name: "a module imported inside a function",
    file: "late.py",
    from: "return x",
    to: "return x + 1",
    changes: { lazily: "patch: body of late.late_helper changed" },
  },
  {
    name: "an effect in a module imported inside a function",
    file: "late.py",
    from: /$/,
    to: "\nprint('late')\n",
    changes: { lazily: "fork: module code of late.py changed" },
  },
  {
    name: "an effect in an imported module",
    file: "helpers.py",
    from: "offset = 1\n",
    to: "offset = 1\noffset += 1\n",
    changes: every("module code of helpers.py changed"),
  },
  {
    name: "a registry at import",
    file: "app.py",
    from: "LIMIT = 3\n",
    to: "LIMIT = 3\nTABLE = {}\nTABLE['x'] = LIMIT\n",
    changes: every("module code of app.py changed"),
  },
  {
    name: "a patch of another module",
    file: "app.py",
    from: "LIMIT = 3\n",
    to: "LIMIT = 3\nh.offset = 9\n",
    changes: every("module code of app.py changed"),
  },
  { name: "a constant that nobody reaches", file: "app.py", from: "LIMIT = 3\n", to: "LIMIT = 3\nSPARE = 4\n", changes: silent },
  {
    name: "a name bound locally in another function",
    file: "app.py",
    from: "SECRET = 7",
    to: "SECRET = 7\nlimit = 99\nx = 5",
    changes: silent,
  },
  {
    name: "a third-party import's alias target",
    file: "app.py",
    from: "import numpy as np",
    to: "import cupy as np",
    changes: { norm: "fork: import of cupy changed" },
  },
  {
    name: "the memory, behind a name",
    file: "app.py",
    from: 'MEMORY = "256MiB"',
    to: 'MEMORY = "1GiB"',
    changes: { embed: "container: memory changed" },
  },
  {
    name: "the timeout",
    file: "app.py",
    from: "@app.function()\ndef norm",
    to: "@app.function(timeout=9)\ndef norm",
    changes: { norm: "patch: timeout changed" },
  },
  {
    name: "memory and body at once",
    file: "app.py",
    from: /@app.function\(\)\ndef lone\(x\):\n {4}limit = x/,
    to: '@app.function(memory="2GiB")\ndef lone(x):\n    limit = x + 1',
    changes: { lone: "container: memory changed" },
  },
  {
    name: "a data file that nobody opens",
    file: "notes.md",
    from: "# notes",
    to: "# more",
    changes: "no function reaches notes.md",
  },
  {
    name: "a new module that nobody imports",
    file: "fresh.py",
    from: "",
    to: "print('x')\n",
    changes: "no function reaches fresh.py",
  },
  {
    name: "what only runs as a program",
    file: "app.py",
    from: /$/,
    to: '\nif __name__ == "__main__":\n    main()\n',
    changes: silent,
  },
  {
    name: "a function removed",
    file: "app.py",
    from: /@app.function\(\)\ndef lone[\s\S]*?\n\n\n/,
    to: "",
    changes: { lone: "removed" },
  },
  {
    name: "a function added",
    file: "app.py",
    from: /$/,
    to: "\n@app.function()\ndef more(x): return x\n",
    changes: { more: "fork: new" },
  },
];

describe("an edit of a Python project", () => {
  let describer: LanguageDescriber | undefined;
  let project: Project;

  beforeEach(async () => {
    describer ??= createPythonDescriber();
    project = projectOf(describer);
    // The describer lives on, as it does in a workbench; the project goes back to where every row starts.
    await project.describe({ ...base, "fresh.py": "" });
    await project.describe(base);
  });
  afterAll(() => describer?.[Symbol.asyncDispose]());

  it("starts from a project without faults", async () => {
    const { functions, diagnostics } = await project.describe(base);
    expect(diagnostics).toEqual([]);
    expect(functions.map(({ spec }) => spec.name)).toEqual(all);
  });

  it.each(rows)("$name", async ({ file, from, to, changes }) => {
    const before = base[file] ?? "";
    const after = before.replace(from, () => to);
    expect(after).not.toBe(before);
    expect(await project.edit({ ...base, [file]: after })).toEqual(changes);
    // And the way back is an edit too: the digests are those of the start.
    const again = await project.describe(base);
    const fresh = createPythonDescriber();
    const anew = await projectOf(fresh).describe(base);
    await fresh[Symbol.asyncDispose]();
    expect(again.functions.map(({ digest }) => digest)).toEqual(anew.functions.map(({ digest }) => digest));
  });
});
