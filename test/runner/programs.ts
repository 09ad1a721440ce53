// ⑥ The functions that the conformance cases call, the same in both languages.

import type { Language } from "./harness.ts";

/** Files of the project, by path; the module with the functions is app.py or app.ts. */
export const programs: Record<Language, Record<string, string>> = {
  python: {
    "app.py": `import asyncio
import ctypes
import os
import signal
import sys
import time

import hob
from parts.clean import tidy

app = hob.App("test")
other = hob.Function.from_name("elsewhere", "far")


@app.function()
def echo(value):
    return value


@app.function()
def speak(times: int):
    for number in range(times):
        print("line", number)
    print("to stderr", file=sys.stderr)
    sys.stdout.write("no newline at the end")
    return times


def inner(value):
    raise ValueError(f"no {value} here")


@app.function()
def fail(value):
    return inner(value)


@app.function()
def resize(path: str, width: int = 64):
    return [path, width]


@app.function()
def unencodable():
    return {"x": [1, 2, 3, lambda: 0]}


@app.function()
def leave(code: int):
    os._exit(code)


@app.function()
def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


@app.function()
def crash():
    ctypes.string_at(0)


@app.function()
def long_line(size: int):
    print("x" * size)
    print("after")


@app.function()
def binary():
    os.write(1, b"caf\\xc3\\xa9 \\xff\\n")


@app.function()
def forever():
    print("started", flush=True)
    while True:
        time.sleep(1)


@app.function()
def ask(name: str):
    return f"{name} gave {other.remote(name)}"


@app.function()
def ask_many(count: int):
    return list(other.map(range(count)))


@app.function()
def ask_later():
    calls = [other.spawn(number) for number in range(3)]
    calls[1].cancel()
    return [calls[0].get(), calls[2].get()]


@app.function()
async def wait_a_little():
    await asyncio.sleep(0.001)
    return "awaited"


@app.function()
def count_to(limit: int):
    for number in range(limit):
        yield number


@app.function()
def clean(text: str):
    return tidy(text)


@app.function()
def here():
    with open("data.txt") as file:
        return [os.path.basename(__file__), file.read(), os.path.dirname(__file__) == os.getcwd()]


@app.function()
def which():
    print("which", flush=True)
    while not os.path.exists(os.path.join("..", "go")):
        time.sleep(0.005)
    return "old"
`,
    "parts/__init__.py": "",
    "parts/clean.py": "from .words import lower\n\n\ndef tidy(text):\n    return lower(text).strip()\n",
    "parts/words.py": "def lower(text):\n    return text.lower()\n",
    "data.txt": "some data",
  },
  typescript: {
    "app.ts": `import { existsSync, readFileSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { App, functionFromName } from "hob";
import { tidy } from "./parts/clean.ts";

const app = new App("test");
const other = functionFromName<[unknown], unknown>("elsewhere", "far");

export const echo = app.function({}, (value: unknown) => value);

export const speak = app.function({}, (times: number) => {
  for (let number = 0; number < times; number++) console.log("line", number);
  console.error("to stderr");
  process.stdout.write("no newline at the end");
  return times;
});

function inner(value: unknown): never {
  throw new RangeError(\`no \${value} here\`);
}

export const fail = app.function({}, (value: unknown) => inner(value));

export const resize = app.function({}, (path: string, width: number = 64) => [path, width]);

export const unencodable = app.function({}, () => ({ x: [1, 2, 3, () => 0] }));

export const leave = app.function({}, (code: number) => process.exit(code));

export const kill_self = app.function({}, async () => {
  process.kill(process.pid, "SIGKILL");
  await new Promise(() => {});
});

export const crash = app.function({}, async () => {
  process.kill(process.pid, "SIGSEGV");
  await new Promise(() => {});
});

export const long_line = app.function({}, (size: number) => {
  console.log("x".repeat(size));
  console.log("after");
});

export const binary = app.function({}, () => {
  writeSync(1, Buffer.from([0x63, 0x61, 0x66, 0xc3, 0xa9, 0x20, 0xff, 0x0a]));
});

export const forever = app.function({}, () => {
  console.log("started");
  for (;;);
});

export const ask = app.function({}, async (name: string) => \`\${name} gave \${await other.remote(name)}\`);

export const ask_many = app.function({}, async (count: number) => {
  const all = [];
  for await (const value of other.map(Array(count).keys())) all.push(value);
  return all;
});

export const ask_later = app.function({}, async () => {
  const calls = [0, 1, 2].map((number) => other.spawn(number));
  calls[1]?.cancel();
  return [await calls[0]?.get(), await calls[2]?.get()];
});

export const wait_a_little = app.function({}, async () => {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return "awaited";
});

export const count_to = app.function({}, function* (limit: number) {
  for (let number = 0; number < limit; number++) yield number;
});

export const clean = app.function({}, (text: string) => tidy(text));

export const here = app.function({}, () => [basename(__filename), readFileSync("data.txt", "utf8"), __dirname === process.cwd()]);

export const which = app.function({}, async () => {
  console.log("which");
  while (!existsSync("../go")) await new Promise((resolve) => setTimeout(resolve, 5));
  return "old";
});
`,
    "parts/clean.ts": 'import { lower } from "./words.ts";\n\nexport const tidy = (text: string) => lower(text).trim();\n',
    "parts/words.ts": "export const lower = (text: string) => text.toLowerCase();\n",
    "data.txt": "some data",
  },
};

export const mainModule: Record<Language, string> = { python: "app.py", typescript: "app.ts" };

/** Every function that the main module declares, as MODULE::NAME. */
export function allFunctions(language: Language): string[] {
  const text = programs[language][mainModule[language]] ?? "";
  const declared = language === "python" ? /@app\.function\(\)\n(?:async )?def (\w+)/g : /export const (\w+) = app\.function/g;
  return [...text.matchAll(declared)].map((match) => `${mainModule[language]}::${match[1]}`);
}
