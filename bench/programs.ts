// The projects that the loop bench edits, and the same work as a plain file for the rival. A save changes one number in a body.

import { execFileSync } from "node:child_process";

export interface Program {
  row: string;
  file: string;
  functionName: string;
  rival: string;
  rivalArgv: (file: string) => string[];
  goal: { atMost: number; times?: number };
  /** The project's file at save `n`; the function then returns `n`. */
  source(n: number): string;
  /** The same without hob, printing the result. */
  plain(n: number): string;
}

const python = "/usr/bin/python3";
const heavyStandard =
  "asyncio, concurrent.futures, ctypes, decimal, email.mime.multipart, http.server, multiprocessing.pool, sqlite3, ssl, tkinter, unittest.mock, urllib.request, xml.etree.ElementTree, xmlrpc.client";

/** numpy where the machine's Python has it, else a row of the standard library's heavier modules. */
export function heavyImport(): { name: string; statement: string } {
  try {
    execFileSync(python, ["-c", "import numpy"], { stdio: "ignore" });
    return { name: "numpy", statement: "import numpy" };
  } catch {
    return { name: "standard library", statement: `import ${heavyStandard.replace("tkinter, ", "")}` };
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

function pythonProgram(row: string, imports: string, goal: Program["goal"]): Program {
  const body = (n: number) => `    ${imports.startsWith("import numpy") ? `return int(numpy.int64(${n}))` : `return ${n}`}`;
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
  goal: { atMost: 25 },
  source: (n) =>
    `import { App } from "hob";\n\nconst app = new App("bench");\n\n${typescriptFiller}\n\nexport const compute = app.function({}, async () => {\n  return ${n} + 0 * helper0([]);\n});\n`,
  plain: (n) =>
    `${typescriptFiller}\n\nconst compute = async () => {\n  return ${n} + 0 * helper0([]);\n};\n\nconsole.log(await compute());\n`,
};

export const programs: Program[] = [
  pythonProgram("python-light", "import json", { atMost: 15, times: 2 }),
  pythonProgram("python-heavy", heavyImport().statement, { atMost: 20, times: 8 }),
  typescriptProgram,
];
