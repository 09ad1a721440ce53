// Python whose reach cannot be told from its text: the digest widens, never narrows. A row a doubt.

import { describe, expect, it } from "vitest";
import { createPythonDescriber } from "../../project/describe/python.ts";
import { type Files, projectOf } from "./description.ts";

const silent = "comment or formatting only, or code that no function reaches";

const uncertain: { name: string; code: string; edit: Files; changes: Record<string, string> | string }[] = [
  {
    name: "getattr with a computed name: the module as a whole",
    code: "def f(x):\n    return getattr(HANDLERS, x)()",
    edit: { "app.py": "OTHER = 2" },
    changes: { f: "fork: getattr() in app.py line 9: all of app.py counts" },
  },
  {
    name: "getattr with a constant name: just that",
    code: "def f(x):\n    return getattr(helpers, 'one')()",
    edit: { "helpers.py": "TWO = 2" },
    changes: silent,
  },
  {
    name: "globals(): the module as a whole",
    code: "def f(x):\n    return globals()[x]",
    edit: { "app.py": "OTHER = 2" },
    changes: { f: "fork: globals() in app.py line 9: all of app.py counts" },
  },
  {
    name: "eval: all of the project's modules",
    code: "def f(x):\n    return eval(x)",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: eval() in app.py line 9: all of spare.py counts" },
  },
  {
    name: "importlib with a computed name: all of the project's modules",
    code: "def f(x):\n    import importlib\n    return importlib.import_module(x)",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: importlib.import_module in app.py line 10: all of spare.py counts" },
  },
  {
    name: "importlib with a constant name: that module",
    code: "def f(x):\n    import importlib\n    return importlib.import_module('helpers')",
    edit: { "spare.py": "SPARE = 2" },
    changes: "no function reaches spare.py",
  },
  {
    name: "a module passed on as a value: all of it",
    code: "def f(x):\n    return run(helpers)",
    edit: { "helpers.py": "TWO = 2" },
    changes: { f: "fork: helpers.py is used as a whole: all of helpers.py counts" },
  },
  {
    name: "a star import: all of that module",
    code: "from spare import *\ndef f(x):\n    return x",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: spare.py is used as a whole: all of spare.py counts" },
  },
  {
    name: "open of a constant path: that file",
    code: "def f(x):\n    return open('data.csv').read()",
    edit: { "data.csv": "2" },
    changes: { f: "fork: reads data.csv" },
  },
  {
    name: "open of a constant path: no other file",
    code: "def f(x):\n    return open('data.csv').read()",
    edit: { "other.csv": "2" },
    changes: "no function reaches other.csv",
  },
  {
    name: "open of a computed path: any file",
    code: "def f(x):\n    return open(x).read()",
    edit: { "other.csv": "2" },
    changes: { f: "fork: may read any file (open in app.py line 9): other.csv changed" },
  },
  {
    name: "open of a computed path: sources are not data",
    code: "def f(x):\n    return open(x).read()",
    edit: { "spare.py": "SPARE = 2" },
    changes: "no function reaches spare.py",
  },
  {
    name: "a subprocess: it may run a source",
    code: "def f(x):\n    subprocess.run(x)",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: may read any file (subprocess.run in app.py line 8): spare.py changed" },
  },
  {
    name: "a path opened with a mode: the mode is no file's name",
    code: "def f(x):\n    return Path(x).open('r').read()",
    edit: { "other.csv": "2" },
    changes: { f: "fork: may read any file (.open() in app.py line 9): other.csv changed" },
  },
  {
    name: "a module imported into a global",
    code: "def f(x):\n    global late\n    import helpers as late\n    return late.one()",
    edit: { "helpers.py": "def one():\n    return 5" },
    changes: { f: "fork: helpers.py is used as a whole: all of helpers.py counts" },
  },
  {
    name: "a changed sys.path: any module may be another",
    code: "def f(x):\n    return x\nsys.path.insert(0, 'lib')",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: sys.path.insert in app.py line 10: all of spare.py counts" },
  },
  {
    name: "a path read as text: any file",
    code: "def f(x):\n    return Path(x).read_text()",
    edit: { "other.csv": "2" },
    changes: { f: "fork: may read any file (.read_text() in app.py line 9): other.csv changed" },
  },
  {
    name: "open for writing: none",
    code: "def f(x):\n    open('/tmp/' + x, 'w').write(x)",
    edit: { "other.csv": "2" },
    changes: "no function reaches other.csv",
  },
  {
    name: "a decorator of the project's that registers",
    code: "def f(x):\n    return x\n@helpers.register\ndef g():\n    return OTHER",
    edit: { "app.py": "OTHER = 2" },
    changes: { f: "fork: reaches OTHER" },
  },
  {
    name: "a global that another function sets",
    code: "def f(x):\n    return STATE\ndef setter():\n    global STATE\n    STATE = OTHER",
    edit: { "app.py": "OTHER = 2" },
    changes: { f: "fork: reaches OTHER" },
  },
  {
    name: "a value computed at import by the project's code",
    code: "def f(x):\n    return x\nTABLE = helpers.one()",
    edit: { "helpers.py": "def one():\n    return 5" },
    changes: { f: "fork: one runs when app.py is imported" },
  },
  {
    name: "sys.modules: all of the project's modules",
    code: "def f(x):\n    return sys.modules[x]",
    edit: { "spare.py": "SPARE = 2" },
    changes: { f: "fork: sys.modules in app.py line 8: all of spare.py counts" },
  },
  {
    name: "a subprocess under another name: any file",
    code: "def f(x):\n    from subprocess import run as go\n    go(x)",
    edit: { "other.csv": "2" },
    changes: { f: "fork: may read any file (subprocess.run in app.py line 8): other.csv changed" },
  },
  {
    name: "a subprocess: any file",
    code: "def f(x):\n    subprocess.run(x)",
    edit: { "other.csv": "2" },
    changes: { f: "fork: may read any file (subprocess.run in app.py line 8): other.csv changed" },
  },
];

describe("what reach cannot be told of widens, never narrows:", () => {
  it.each(uncertain)("$name", async ({ code, edit, changes }) => {
    const head =
      'import hob, sys, subprocess, helpers\nfrom pathlib import Path\napp = hob.App("images")\nHANDLERS = helpers\nOTHER = 1\nSTATE = None\n';
    const marked = code.replace(/def f\(/, "@app.function()\ndef f(").replace("from spare import *\n@", "@");
    const star = code.startsWith("from spare") ? "from spare import *\n" : "";
    const files: Files = {
      "app.py": `${star}${head}${marked}\n`,
      "helpers.py": "def one():\n    return 1\ndef register(f):\n    return f\n",
      "spare.py": "SPARE = 1\n",
      "data.csv": "1",
      "other.csv": "1",
    };
    const describer = createPythonDescriber();
    try {
      const project = projectOf(describer);
      const { diagnostics } = await project.describe(files);
      expect(diagnostics).toEqual([]);
      const next = { ...files };
      for (const [path, text] of Object.entries(edit)) {
        if (path === "app.py") next[path] = files[path]!.replace("OTHER = 1", text);
        else if (path === "helpers.py")
          next[path] = text.startsWith("def one") ? files[path]!.replace("return 1", "return 5") : `${files[path]}${text}\n`;
        else next[path] = text;
      }
      expect(await project.edit(next)).toEqual(changes);
    } finally {
      await describer[Symbol.asyncDispose]();
    }
  });
});
