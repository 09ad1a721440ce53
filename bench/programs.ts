// The projects that the loop bench edits, and the same work as a plain file for the rival. A save changes one number in a body.

import { execFileSync } from "node:child_process";

export interface Program {
  row: string;
  file: string;
  functionName: string;
  rival: string;
  rivalArgv: (file: string) => string[];
  goal: { atMost: number; times?: number; p99AtMost?: number };
  /** The project's file at save `n`; the function then returns `n`. */
  source(n: number): string;
  /** The same without hob, printing the result. */
  plain(n: number): string;
}

const python = "/usr/bin/python3";
const heavyStandard =
  "asyncio, concurrent.futures, ctypes, decimal, email.mime.multipart, http.server, multiprocessing.pool, sqlite3, ssl, unittest.mock, urllib.request, xml.etree.ElementTree, xmlrpc.client";

interface HeavyImport {
  name: string;
  statement: string;
  /** What `compute` returns at save `n`. */
  result(n: number): string;
}

/** pandas where the machine's Python has it, else a row of the standard library's heavier modules. */
export function heavyImport(): HeavyImport {
  try {
    execFileSync(python, ["-c", "import pandas"], { stdio: "ignore" });
    return { name: "pandas", statement: "import pandas", result: (n) => `int(pandas.Series([${n}]).sum())` };
  } catch {
    return { name: "standard library", statement: `import ${heavyStandard}`, result: String };
  }
}

/** About 200 lines of ordinary helper functions, so that a save has something to parse. */
const pythonFiller = Array.from({ length: 32 }, (_, i) =>
  [
    `def helper_${i}(values, scale=${i + 1}):`,
    `    """Scales what is even of values by ${i + 1}."""`,
    "    total = 0",
    "    for value in values:",
    `        total += value * scale if value % 2 == 0 else ${i}`,
    "    return total",
  ].join("\n"),
).join("\n\n");

function pythonProgram(row: string, { statement: imports, result }: HeavyImport, goal: Program["goal"]): Program {
  const body = (n: number) => `    return ${result(n)}`;
  return {
    row,
    file: "app.py",
    functionName: "compute",
    rival: "python3 file.py",
    rivalArgv: (file) => [python, file],
    goal,
    source: (n) =>
      `${imports}\nimport hob\n\napp = hob.App("bench")\n\n${pythonFiller}\n\n\n@app.function()\ndef compute():\n${body(n)}\n`,
    plain: (n) => `${imports}\n\n${pythonFiller}\n\n\ndef compute():\n${body(n)}\n\nprint(compute())\n`,
  };
}

const light: HeavyImport = { name: "json", statement: "import json", result: String };

const stateMegabytes = 200;

/** An object that holds 200 MB which took a while to make, and a method whose body is edited. */
const stateProgram: Program = {
  row: "python-patch-200mb",
  file: "app.py",
  functionName: "Model.predict",
  rival: "python3 file.py",
  rivalArgv: (file) => [python, file],
  goal: { atMost: 12 },
  source: (n) =>
    `import hob\n\napp = hob.App("bench")\n\n${pythonFiller}\n\n\n@app.cls(memory="1GiB")\nclass Model:\n    @hob.enter()\n    def load(self):\n        self.weights = bytearray(range(256)) * ${stateMegabytes << 12}\n\n    @hob.method()\n    def predict(self):\n        return ${n} + self.weights[0]\n`,
  plain: (n) =>
    `${pythonFiller}\n\n\nclass Model:\n    def load(self):\n        self.weights = bytearray(range(256)) * ${stateMegabytes << 12}\n\n    def predict(self):\n        return ${n} + self.weights[0]\n\n\nmodel = Model()\nmodel.load()\nprint(model.predict())\n`,
};

const typescriptFiller = Array.from({ length: 40 }, (_, i) =>
  [
    `export function helper${i}(values: number[], scale = ${i + 1}): number {`,
    `  return values.reduce((total, value) => total + (value % 2 === 0 ? value * scale : ${i}), 0);`,
    "}",
  ].join("\n"),
).join("\n\n");

const typescriptProgram: Program = {
  row: "typescript",
  file: "app.ts",
  functionName: "compute",
  rival: "node file.ts",
  rivalArgv: (file) => [process.execPath, file],
  goal: { atMost: 12, p99AtMost: 30 },
  source: (n) =>
    `import { App } from "hob";\n\nconst app = new App("bench");\n\n${typescriptFiller}\n\nexport const compute = app.function({}, async () => {\n  return ${n} + 0 * helper0([]);\n});\n`,
  plain: (n) =>
    `${typescriptFiller}\n\nconst compute = async () => {\n  return ${n} + 0 * helper0([]);\n};\n\nconsole.log(await compute());\n`,
};

export const programs: Program[] = [
  pythonProgram("python-light", light, { atMost: 6, times: 4, p99AtMost: 12 }),
  pythonProgram("python-heavy", heavyImport(), { atMost: 7, times: 30, p99AtMost: 14 }),
  stateProgram,
  typescriptProgram,
];
