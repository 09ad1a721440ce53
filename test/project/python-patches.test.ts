// What the describer says of a process that has loaded a function: which definitions can be replaced, and whether calls leave something behind.

import { afterAll, describe, expect, it } from "vitest";
import { changesBetween, type DescribedFunction } from "../../project/describe/changes.ts";
import { patchesOf } from "../../project/describe/patches.ts";
import { createPythonDescriber } from "../../project/describe/python.ts";
import { projectOf } from "./description.ts";

const describer = createPythonDescriber();
const project = projectOf(describer);
afterAll(() => describer[Symbol.asyncDispose]());

async function described(text: string): Promise<DescribedFunction> {
  const { functions, diagnostics } = await project.describe({
    "app.py": `import hob\nimport functools, os, random, outside\n\napp = hob.App("x")\n\n${text}`,
  });
  expect(diagnostics).toEqual([]);
  return functions.at(-1)!;
}
const f = (body: string, rest = ""): string => `${rest}\n@app.function()\ndef f(x=1):\n    ${body.replaceAll("\n", "\n    ")}\n`;
const method = (body: string): string =>
  `@app.cls()\nclass M:\n    @hob.enter()\n    def load(self):\n        self.net = outside.load()\n\n    @hob.method()\n    def m(self, x):\n        ${body}\n`;

const other = "\n\nclass C:\n    def keep(self, net):\n        net.last = 1\n";

describe("calls leave nothing behind", () => {
  it.each([
    ["of what they made themselves", f("seen = {}\nseen[x] = 1\nrows = [x]\nrows.append(2)\nreturn [seen, rows]")],
    ["of arguments", f("x.append(1)\nreturn x")],
    ["reading a constant and a table", f("return [LIMIT, TABLE.get(x), TABLE[x]]", "LIMIT = 3\nTABLE = {1: 2}\n")],
    ["calling what is outside with arguments", f("return outside.norm(x)")],
    [
      "with an object of a class of the project's",
      f("return C(x).g()", "class C:\n    def __init__(self, x):\n        self.x = x\n    def g(self):\n        return self.x\n"),
    ],
    ["calling helpers that return what they made", f("y = h(x)\ny.append(2)\nreturn y", "def h(x):\n    return [x]\n")],
    ["calling functions of a table", f("return TABLE['h'](x)", "def h(x):\n    return x\n\nTABLE = {'h': h}\n")],
    ["reading attributes", method("return self.net.size + x")],
  ])("%s", async (_, text) => {
    expect((await described(text)).keepsState).toBe(false);
  });
});

describe("calls may leave something behind", () => {
  it.each([
    ["in a global", f("global N\nN = x", "N = 0\n")],
    ["in a dict of the module", f("C[x] = 1", "C = {}\n")],
    ["in a list of the module", f("C.append(x)", "C = []\n")],
    ["under another name", f("d = C\nd[x] = 1", "C = {}\n")],
    ["through a loop", f("for d in C:\n    d[x] = 1", "C = [{}]\n")],
    ["through a comprehension", f("return [h(d) for d in C]", "C = [{}]\n\ndef h(d):\n    d[1] = 1\n")],
    ["through a helper that gets it", f("h(C, x)", "C = {}\n\ndef h(d, x):\n    d[x] = 1\n")],
    ["through a helper that gives it", f("h()[x] = 1", "C = {}\n\ndef h():\n    return C\n")],
    ["through a helper that gives it, in a name", f("d = h()\nd[x] = 1", "C = {}\n\ndef h():\n    return C\n")],
    ["outside, with what is the module's", f("return outside.fill(C)", "C = {}\n")],
    ["in a generator of the module", f("return next(G)", "G = outside.load()\n")],
    ["in a function's attribute", f("f.last = x")],
    ["in an attribute of a class", f("C.last = x", "class C:\n    pass\n")],
    ["in a dict of a class", f("C.seen[x] = 1", "class C:\n    seen = {}\n")],
    ["in a mutable default", f("return h(x)", "def h(x, seen=[]):\n    seen.append(x)\n    return seen\n")],
    [
      "in a closure's variable",
      f(
        "return KEPT(x)",
        "def make():\n    n = 0\n    def inner(x):\n        nonlocal n\n        n += x\n        return n\n    return inner\n\nKEPT = make()\n",
      ),
    ],
    ["in lru_cache", f("return h(x)", "import functools\n\n@functools.lru_cache\ndef h(x):\n    return x\n")],
    ["in the process", f("os.environ['A'] = x")],
    ["in the generator of random numbers", f("random.seed(x)")],
    ["in self", method("self.last = x")],
    ["in what self has", method("self.seen[x] = 1")],
    ["in a model, whose method's name says so", method("return self.net.set_weights(x)")],
    ["in a tensor, in place", method("return self.net.weights.add_(x)")],
    ["in a model, through a helper", `${method("return h(self.net, x)")}\n\ndef h(net, x):\n    net.last = x\n`],
    ["in a model, through a method of another class", method("return outside.give(C()).keep(self.net)") + other],
    ["in a cache of the library", method("return self.cached(x)")],
    [
      "in a cache that loading made",
      method("return self.net(x)").replace("outside.load()", "functools.lru_cache(outside.load())"),
    ],
    ["where a name is computed", f("setattr(f, x, 1)")],
  ])("%s", async (_, text) => {
    expect(await described(text)).toMatchObject({ keepsState: true, stores: true });
  });
});

describe("only a library might leave something behind", () => {
  it.each([
    ["in an object of the module", f("return NET.predict(x)", "NET = outside.load()\n")],
    ["in a model", method("return self.net(x)")],
    ["in a model that is given what it has", method("return self.net(self.weights, x).cpu()")],
    [
      "in a function that is given the model",
      method("with outside.no_grad():\n            return outside.generate(self.net, x)"),
    ],
  ])("%s", async (_, text) => {
    expect(await described(text)).toMatchObject({ keepsState: true, stores: false });
  });
});

describe("a definition", () => {
  it("is a unit with its lines, and says why it takes a new process", async () => {
    const text = `def runs():
    return 1

N = runs()

def plain(x):
    return x

class M:
    @property
    def p(self):
        return 1

    @outside.cached
    def q(self):
        return 2

${f("return plain(M().p) + N")}`;
    const { units, fixed } = await described(text);
    expect(units?.["name plain"]).toMatchObject({ path: "app.py", name: "plain", line: 11, endLine: 12 });
    expect(units?.["name M.p"]).toMatchObject({ name: "M.p", line: 15, endLine: 17 });
    expect(units?.["own"]).toMatchObject({ name: "f", line: 24, endLine: 26 });
    expect(fixed).toEqual({
      "name runs": "runs runs when app.py is imported",
      "name M.q": "M.q is decorated with outside.cached",
    });
  });
});

it("functions of one process are patched together, and what calls kept goes when one of them keeps something", () => {
  const unit = (name: string) => ({ path: "app.py", name, line: 1, endLine: 2 });
  const patched = (name: string, home: string, units: string[], data = false) => {
    return { name, language: "python", base: { snapshot: "s", home }, plan: { units: units.map(unit), data } };
  };
  const functions = [patched("a", "s", ["h", "a"]), patched("b", "s", ["h"]), patched("c", "r", [])];
  expect(patchesOf(functions, new Set())).toEqual([
    { base: "s", functions: ["a", "b"], keep: "all", units: [unit("h"), unit("a")], bundle: "" },
    { base: "s", functions: ["c"], keep: "all", units: [], bundle: "" },
  ]);
  expect(patchesOf(functions, new Set(["python"])).map(({ keep }) => keep)).toEqual(["loaded", "all"]);
  expect(patchesOf(functions, new Set(["python"]), new Set()).map(({ keep }) => keep)).toEqual(["unsure", "all"]);
  expect(patchesOf([patched("a", "s", ["a"], true)], new Set())[0]?.keep).toBe("loaded");
});

it("a process that was patched still has the former text of what no patch put in place", async () => {
  const source = (body: string, value: number): string =>
    f(`return ${body}`, `@functools.lru_cache\ndef kept():\n    return ${value}\n`);
  let published = await described(source("1", 71));
  const edit = async (text: string): Promise<string> => {
    const now = await described(text);
    const { changes } = changesBetween(new Map([["x/f", published]]), new Map([["x/f", now]]), ["app.py"]);
    const [change] = changes;
    if (!change) return "none";
    published = change.after;
    return `${change.tier}: ${change.reason}`;
  };
  expect(await edit(source("1", 73))).toBe("none");
  expect(await edit(source("2", 73))).toBe("patch: body changed");
  expect(await edit(source("kept()", 73))).toBe("fork: reaches kept, which was not loaded"); // it has 71
  expect(await edit(source("3", 73))).toBe("patch: body changed");
  expect(await edit(source("kept()", 73))).toBe("patch: body changed"); // the new process has 73
});

it("a process of which it is not known what it has loaded stays one when only its function's wishes change", async () => {
  const text = (timeout: number, value: number): string => `@app.function(timeout=${timeout})\ndef f():\n    return ${value}\n`;
  const was = { ...(await described(text(5, 1))), loaded: undefined };
  const changed = (before: DescribedFunction, now: DescribedFunction) =>
    changesBetween(new Map([["x/f", before]]), new Map([["x/f", now]]), ["app.py"]).changes[0]!;
  const patched = changed(was, await described(text(6, 1)));
  expect(patched.tier).toBe("patch");
  const { tier, reason } = changed(patched.after, await described(text(6, 2)));
  expect([tier, reason]).toEqual(["fork", "what was loaded is not known any more"]);
});
