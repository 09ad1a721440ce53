// The table of edits of Python: what is there, what a save changes, the tier that it takes, and what a call returns before and after.

export interface EditRow {
  name: string;
  /** app.py below its first lines, which bind `hob`, `time`, `app` and TOKEN: another one in each process that imports it. */
  app: string;
  files?: Record<string, string>;
  /** [file, what, by what] */
  edits: [file: string, from: string | RegExp, to: string][];
  /** "nothing": nothing has to be reloaded. With "patch" TOKEN stays, else it is another one ("nothing": stays). */
  tier: "patch" | "fork" | "container" | "nothing";
  reason: RegExp;
  /** "f" unless said otherwise. It returns [value, TOKEN]. */
  call?: string;
  was: unknown;
  now: unknown;
}

export const head = (app: string): string => `import time\nimport hob\n\napp = hob.App("${app}")\nTOKEN = time.time_ns()\n\n`;

const f = (body: string, rest = "", options = ""): string =>
  `${rest}\n@app.function(${options})\ndef f(x=2):\n${body.replace(/^/gm, "    ")}\n`;
const cls = (methods: string, rest = "", options = ""): string =>
  `${rest}\n@app.cls(${options})\nclass Model:\n${methods.replace(/^(?=.)/gm, "    ")}\n`;
const loading = "@hob.enter()\ndef load(self):\n    self.k = 10\n\n";
const served = (methods: string): string => `${loading}${methods}`;
const slow = "time.sleep(0.6)\n";
const stored = /may have kept|no process|fork/;

export const plainRows: EditRow[] = [
  {
    name: "a body",
    app: f("return [x + 1, TOKEN]"),
    edits: [["app.py", "x + 1", "x + 2"]],
    tier: "patch",
    reason: /^body changed/,
    was: 3,
    now: 4,
  },
  {
    name: "a helper in another module",
    app: f("return [clean(x), TOKEN]", "from helpers import clean\n"),
    files: { "helpers.py": "def clean(x):\n    return x\n" },
    edits: [["helpers.py", "return x", "return -x"]],
    ...{ tier: "patch", reason: /body of helpers.clean changed/, was: 2, now: -2 },
  },
  {
    name: "a helper's helper, through a module's name",
    app: f("return [helpers.clean(x), TOKEN]", "import helpers\n"),
    files: {
      "helpers.py": "import more\n\ndef clean(x):\n    return more.strip(x)\n",
      "more.py": "def strip(x):\n    return x\n",
    },
    edits: [["more.py", "return x", "return x * 5"]],
    ...{ tier: "patch", reason: /body of more.strip changed/, was: 2, now: 10 },
  },
  {
    name: "a comment",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "return [x", "# says x\n    return [x"]],
    ...{ tier: "nothing", reason: /comment/, was: 2, now: 2 },
  },
  {
    name: "a docstring",
    app: f('"""One."""\nreturn [x, TOKEN]'),
    edits: [["app.py", "One.", "Two."]],
    ...{ tier: "patch", reason: /body/, was: 2, now: 2 },
  },
  {
    name: "a docstring that is read",
    app: f("return [about.__doc__, TOKEN]", 'def about():\n    """One."""\n'),
    edits: [["app.py", "One.", "Two."]],
    ...{ tier: "fork", reason: /documentation of about changed/, was: "One.", now: "Two." },
  },
  {
    name: "a default argument",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "x=2", "x=5"]],
    tier: "fork",
    reason: /default of f changed/,
    was: 2,
    now: 5,
  },
  {
    name: "a helper's default argument",
    app: f("return [h(x), TOKEN]", "def h(x, by=1):\n    return x + by\n"),
    edits: [["app.py", "by=1", "by=2"]],
    ...{ tier: "fork", reason: /default of h changed/, was: 3, now: 4 },
  },
  {
    name: "an annotation",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "x=2", "x: int = 2"]],
    tier: "fork",
    reason: /annotation of f/,
    was: 2,
    now: 2,
  },
  {
    name: "a constant that is used",
    app: f("return [x + LIMIT, TOKEN]", "LIMIT = 1\n"),
    edits: [["app.py", "LIMIT = 1", "LIMIT = 2"]],
    ...{ tier: "fork", reason: /reaches LIMIT/, was: 3, now: 4 },
  },
  {
    name: "a constant that is not used",
    app: f("return [x, TOKEN]", "LIMIT = 1\n"),
    edits: [["app.py", "LIMIT = 1", "LIMIT = 2"]],
    ...{ tier: "nothing", reason: /no function reaches/, was: 2, now: 2 },
  },
  {
    name: "a body that comes to use a constant",
    app: f("return [x, TOKEN]", "LIMIT = 7\n"),
    edits: [["app.py", "return [x", "return [x + LIMIT"]],
    ...{ tier: "patch", reason: /^body changed/, was: 2, now: 9 },
  },
  {
    name: "a body that comes to use a helper that is there",
    app: f("return [x, TOKEN]", "def h(x):\n    return x * 3\n"),
    edits: [["app.py", "return [x", "return [h(x)"]],
    ...{ tier: "patch", reason: /^body changed/, was: 2, now: 6 },
  },
  {
    name: "a body that comes to use a helper which the same save changes",
    app: f("return [x, TOKEN]", "def h(x):\n    return x * 3\n"),
    edits: [
      ["app.py", "return x * 3", "return x * 4"],
      ["app.py", "return [x", "return [h(x)"],
    ],
    ...{ tier: "fork", reason: /h, which was not loaded/, was: 2, now: 8 },
  },
  {
    name: "a helper with another name",
    app: f("return [clean(x), TOKEN]", "def clean(x):\n    return x\n"),
    edits: [["app.py", /clean/g, "tidy"]],
    ...{ tier: "fork", reason: /tidy/, was: 2, now: 2 },
  },
  {
    name: "a body with an import of its own",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "return [x", "import math\n    return [math.factorial(x + 1)"]],
    ...{ tier: "patch", reason: /^body changed/, was: 2, now: 6 },
  },
  {
    name: "a body that needs a new import of the module",
    app: f("return [x, TOKEN]"),
    edits: [
      ["app.py", "import time\n", "import time\nimport math\n"],
      ["app.py", "return [x", "return [math.factorial(x + 1)"],
    ],
    ...{ tier: "fork", reason: /imports of app.py changed/, was: 2, now: 6 },
  },
  {
    name: "a helper that runs at import",
    app: f("return [TABLE[x], TOKEN]", "from helpers import TABLE\n"),
    files: { "helpers.py": "def compute(x):\n    return x\n\nTABLE = [compute(at) for at in range(9)]\n" },
    edits: [["helpers.py", "return x", "return x + 1"]],
    ...{ tier: "fork", reason: /compute runs when helpers.py is imported/, was: 2, now: 3 },
  },
  {
    name: "a helper in a table of functions",
    app: f("return [TABLE['h'](x), TOKEN]", "def h(x):\n    return x\n\nTABLE = {'h': h}\n"),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "patch", reason: /body of h changed/, was: 2, now: 3 },
  },
  {
    name: "a helper given to a call at import",
    app: f(
      "return [KEPT[0](x), TOKEN]",
      "KEPT = []\n\ndef h(x):\n    return x\n\ndef keep(function):\n    KEPT.append(function)\n\nkeep(h)\n",
    ),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: /h runs when app.py is imported/, was: 2, now: 3 },
  },
  {
    name: "module code",
    app: f("return [N[0] + x, TOKEN]", "N = [0]\nN[0] += 1\n"),
    edits: [["app.py", "+= 1", "+= 2"]],
    ...{ tier: "fork", reason: /module code of app.py/, was: 3, now: 4 },
  },
  {
    name: "a cache that calls fill",
    app: f("if x not in CACHE:\n    CACHE[x] = h(x)\nreturn [CACHE[x], TOKEN]", "CACHE = {}\n\ndef h(x):\n    return x\n"),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: stored, was: 2, now: 3 },
  },
  {
    name: "a cache that calls fill, in a process that took long to load",
    app: f("if x not in CACHE:\n    CACHE[x] = h(x)\nreturn [CACHE[x], TOKEN]", `${slow}CACHE = {}\n\ndef h(x):\n    return x\n`),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "patch", reason: /body of h changed/, was: 2, now: 3 },
  },
  {
    name: "a counter made with `global`",
    app: f("global N\nN += 1\nreturn [N * 1, TOKEN]", "N = 0\n"),
    edits: [["app.py", "N * 1", "N * 10"]],
    ...{ tier: "fork", reason: stored, was: 1, now: 10 },
  },
  {
    name: "a function with a mutable default",
    app: f("return [h(x), TOKEN]", "def h(x, seen=[]):\n    seen.append(x)\n    return len(seen) * 1\n"),
    edits: [["app.py", "* 1", "* 10"]],
    ...{ tier: "fork", reason: stored, was: 1, now: 10 },
  },
  {
    name: "what a function with lru_cache calls",
    app: f(
      "return [h(x), TOKEN]",
      "import functools\n\ndef inner(x):\n    return x\n\n@functools.lru_cache\ndef h(x):\n    return inner(x)\n",
    ),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: stored, was: 2, now: 3 },
  },
  {
    name: "a function with lru_cache",
    app: f("return [h(x), TOKEN]", "import functools\n\n@functools.lru_cache\ndef h(x):\n    return x\n"),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: /h is decorated with functools.lru_cache/, was: 2, now: 3 },
  },
  {
    name: "a closure that a call keeps in a global",
    app: f(
      "global KEPT\nif KEPT is None:\n    KEPT = lambda y: h(y) + 0\nreturn [KEPT(x), TOKEN]",
      "KEPT = None\n\ndef h(x):\n    return x\n",
    ),
    edits: [["app.py", "+ 0", "+ 5"]],
    ...{ tier: "fork", reason: stored, was: 2, now: 7 },
  },
  {
    name: "a closure kept in a global at import",
    app: f("return [KEPT(x), TOKEN]", "def make():\n    def inner(x):\n        return x\n    return inner\n\nKEPT = make()\n"),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: /make runs when app.py is imported/, was: 2, now: 3 },
  },
  {
    name: "a nested function",
    app: f("def inner(y):\n    return y + x\nreturn [inner(1), TOKEN]"),
    edits: [["app.py", "y + x", "y - x"]],
    ...{ tier: "patch", reason: /^body changed/, was: 3, now: -1 },
  },
  {
    name: "a lambda of the module",
    app: f("return [h(x), TOKEN]", "h = lambda x: x\n"),
    edits: [["app.py", "lambda x: x", "lambda x: -x"]],
    ...{ tier: "fork", reason: /reaches h/, was: 2, now: -2 },
  },
  {
    name: "what a lambda of the module calls",
    app: f("return [h(x), TOKEN]", "def g(x):\n    return x\n\nh = lambda x: g(x)\n"),
    edits: [["app.py", "return x\n", "return -x\n"]],
    ...{ tier: "patch", reason: /body of g changed/, was: 2, now: -2 },
  },
  {
    name: "an async function",
    app: "import asyncio\n\n@app.function()\nasync def f(x=2):\n    await asyncio.sleep(0)\n    return [x, TOKEN]\n",
    edits: [["app.py", "return [x", "return [x + 1"]],
    ...{ tier: "patch", reason: /^body changed/, was: 2, now: 3 },
  },
  {
    name: "an async generator",
    app: "async def several(x):\n    yield x\n    yield 3\n\n@app.function()\nasync def f(x=2):\n    return [sum([y async for y in several(x)]), TOKEN]\n",
    edits: [["app.py", "yield 3", "yield 30"]],
    ...{ tier: "patch", reason: /body of several changed/, was: 5, now: 32 },
  },
  {
    name: "a generator",
    app: f("return [sum(several(x)), TOKEN]", "def several(x):\n    yield x\n    yield 3\n"),
    edits: [["app.py", "yield 3", "yield 30"]],
    ...{ tier: "patch", reason: /body of several changed/, was: 5, now: 32 },
  },
  {
    name: "a function that becomes a generator",
    app: f("return [list(several(x)), TOKEN]", "def several(x):\n    return [x]\n"),
    edits: [["app.py", "return [x]\n", "yield x + 1\n"]],
    ...{ tier: "fork", reason: /kind of several changed/, was: [2], now: [3] },
  },
  {
    name: "a function that becomes async",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "def f", "async def f"]],
    ...{ tier: "fork", reason: /kind of f changed/, was: 2, now: 2 },
  },
  {
    name: "a decorator of the project's",
    app: f(
      "return [h(x), TOKEN]",
      "def twice(function):\n    def inner(x):\n        return function(x) * 2\n    return inner\n\n@twice\ndef h(x):\n    return x\n",
    ),
    edits: [["app.py", "* 2", "* 3"]],
    ...{ tier: "fork", reason: /twice|module code/, was: 4, now: 6 },
  },
  {
    name: "a function decorated by the project",
    app: f(
      "return [h(x), TOKEN]",
      "def twice(function):\n    def inner(x):\n        return function(x) * 2\n    return inner\n\n@twice\ndef h(x):\n    return x\n",
    ),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ tier: "fork", reason: /decorated|module code/, was: 4, now: 6 },
  },
  {
    name: "a decorator that comes",
    app: f("return [h(x), TOKEN]", "import functools\n\ndef h(x):\n    return x\n"),
    edits: [["app.py", "def h", "@functools.cache\ndef h"]],
    ...{ tier: "fork", reason: /decorated/, was: 2, now: 2 },
  },
  {
    name: "a context manager",
    app: f("with h(x) as y:\n    return [y, TOKEN]", "import contextlib\n\n@contextlib.contextmanager\ndef h(x):\n    yield x\n"),
    edits: [["app.py", "yield x", "yield x + 1"]],
    ...{ tier: "fork", reason: /decorated/, was: 2, now: 3 },
  },
  {
    name: "what only a program runs",
    app: `${f("return [x, TOKEN]")}\nif __name__ == "__main__":\n    print(1)\n`,
    edits: [["app.py", "print(1)", "print(2)"]],
    ...{ tier: "nothing", reason: /./, was: 2, now: 2 },
  },
  {
    name: "a relative import's target",
    app: f("return [entry(x), TOKEN]", "from pkg.a import entry\n"),
    files: {
      "pkg/__init__.py": "",
      "pkg/a.py": "from .b import h\n\ndef entry(x):\n    return h(x)\n",
      "pkg/b.py": "def h(x):\n    return x\n",
    },
    edits: [["pkg/b.py", "return x", "return x + 1"]],
    ...{ tier: "patch", reason: /body of pkg.b.h changed/, was: 2, now: 3 },
  },
  {
    name: "a function of a package's __init__",
    app: f("return [pkg.h(x), TOKEN]", "import pkg\n"),
    files: { "pkg/__init__.py": "def h(x):\n    return x\n" },
    edits: [["pkg/__init__.py", "return x", "return x + 1"]],
    ...{ tier: "patch", reason: /body of pkg.h changed/, was: 2, now: 3 },
  },
  {
    name: "code of a package's __init__",
    app: f("return [pkg.N[0] + x, TOKEN]", "import pkg\n"),
    files: { "pkg/__init__.py": "N = []\nN.append(1)\n" },
    edits: [["pkg/__init__.py", "append(1)", "append(4)"]],
    ...{ tier: "fork", reason: /module code of pkg/, was: 3, now: 6 },
  },
  {
    name: "a conditional import's target",
    app: f("return [h(x), TOKEN]", "import sys\nif sys.version_info > (3,):\n    from helpers import h\nelse:\n    h = None\n"),
    files: { "helpers.py": "def h(x):\n    return x\n" },
    edits: [["helpers.py", "return x", "return x + 1"]],
    ...{ tier: "patch", reason: /body of helpers.h changed/, was: 2, now: 3 },
  },
  {
    name: "the target of an import in a try",
    app: f("return [h(x), TOKEN]", "try:\n    from helpers import h\nexcept ImportError:\n    h = None\n"),
    files: { "helpers.py": "def h(x):\n    return x\n" },
    edits: [["helpers.py", "return x", "return x + 1"]],
    ...{ tier: "patch", reason: /body of helpers.h changed/, was: 2, now: 3 },
  },
  {
    name: "a module imported inside of a function",
    app: f("from late import h\nreturn [h(x), TOKEN]"),
    files: { "late.py": "def h(x):\n    return x\n" },
    edits: [["late.py", "return x", "return x + 1"]],
    ...{ tier: "patch", reason: /body of late.h changed/, was: 2, now: 3 },
  },
  {
    name: "a star import's target",
    app: f("return [h(x), TOKEN]", "from helpers import *\n"),
    files: { "helpers.py": "def h(x):\n    return x\n" },
    edits: [["helpers.py", "return x", "return x + 1"]],
    ...{ tier: "fork", reason: /all of helpers.py|counts as a whole/, was: 2, now: 3 },
  },
  {
    name: "a function found by a computed name",
    app: f("return [getattr(helpers, 'h' + str(x))(x), TOKEN]", "import helpers\n"),
    files: { "helpers.py": "def h2(x):\n    return x\n" },
    edits: [["helpers.py", "return x", "return x + 1"]],
    ...{ tier: "fork", reason: /./, was: 2, now: 3 },
  },
  {
    name: "a data file",
    app: f("return [open('data.txt').read(), TOKEN]"),
    files: { "data.txt": "one" },
    edits: [["data.txt", "one", "two"]],
    ...{ tier: "fork", reason: /reads data.txt/, was: "one", now: "two" },
  },
  {
    name: "the timeout",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "function()", "function(timeout=9)"]],
    tier: "patch",
    reason: /timeout changed/,
    was: 2,
    now: 2,
  },
  {
    name: "the memory",
    app: f("return [x, TOKEN]"),
    edits: [["app.py", "function()", 'function(memory="300MiB")']],
    ...{ tier: "container", reason: /memory changed/, was: 2, now: 2 },
  },
  {
    name: "lines above, and what they do",
    app: f(
      "try:\n    fail(x)\nexcept ValueError as error:\n    return [error.__traceback__.tb_next.tb_lineno, TOKEN]",
      "def h(x):\n    return x\n\ndef fail(x):\n    raise ValueError(h(x))\n",
    ),
    edits: [["app.py", "return x\n", "y = x\n\n\n    return y\n"]],
    ...{ tier: "patch", reason: /body of h changed/, was: 11, now: 14 },
  },
];

export const classRows: EditRow[] = [
  {
    name: "a method",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n")),
    edits: [["app.py", "self.k + x", "self.k - x"]],
    call: "Model.f",
    tier: "patch",
    reason: /^body changed/,
    was: 12,
    now: 8,
  },
  {
    name: "a helper of a method",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [h(self.k), TOKEN]\n"), "def h(x):\n    return x\n"),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ call: "Model.f", tier: "patch", reason: /body of h changed/, was: 10, now: 11 },
  },
  {
    name: "what a method keeps in an attribute",
    app: cls(
      "@hob.enter()\ndef load(self):\n    self.cache = {}\n\n@hob.method()\ndef f(self, x=2):\n    if x not in self.cache:\n        self.cache[x] = h(x)\n    return [self.cache[x], TOKEN]\n",
      "def h(x):\n    return x\n",
    ),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ call: "Model.f", tier: "patch", reason: /body of h changed/, was: 2, now: 3 },
  },
  {
    name: "another method that is called",
    app: cls(
      served("def g(self, x):\n    return x + self.k\n\n@hob.method()\ndef f(self, x=2):\n    return [self.g(x), TOKEN]\n"),
    ),
    edits: [["app.py", "return x + self.k", "return x * self.k"]],
    ...{ call: "Model.f", tier: "patch", reason: /body of Model.g changed/, was: 12, now: 20 },
  },
  {
    name: "an enter hook",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n")),
    edits: [["app.py", "self.k = 10", "self.k = 20"]],
    ...{ call: "Model.f", tier: "fork", reason: /Model.load is an enter hook/, was: 12, now: 22 },
  },
  {
    name: "what an enter hook calls",
    app: cls(
      "@hob.enter()\ndef load(self):\n    self.k = h(10)\n\n@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n",
      "def h(x):\n    return x\n",
    ),
    edits: [["app.py", "return x\n", "return x + 1\n"]],
    ...{ call: "Model.f", tier: "fork", reason: /h runs when Model is loaded/, was: 12, now: 13 },
  },
  {
    name: "a method that an enter hook calls",
    app: cls(
      "@hob.enter()\ndef load(self):\n    self.k = self.g()\n\ndef g(self):\n    return 10\n\n@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n",
    ),
    edits: [["app.py", "return 10", "return 20"]],
    ...{ call: "Model.f", tier: "fork", reason: /Model.g runs when Model is loaded/, was: 12, now: 22 },
  },
  {
    name: "an exit hook",
    app: cls(
      served("@hob.exit()\ndef end(self):\n    print(1)\n\n@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n"),
    ),
    edits: [["app.py", "print(1)", "print(2)"]],
    ...{ call: "Model.f", tier: "fork", reason: /Model.end is an exit hook/, was: 12, now: 12 },
  },
  {
    name: "a constructor",
    app: cls("def __init__(self):\n    self.k = 10\n\n@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n"),
    edits: [["app.py", "self.k = 10", "self.k = 20"]],
    ...{ call: "Model.f", tier: "fork", reason: /special method/, was: 12, now: 22 },
  },
  {
    name: "a method of a base class",
    app: cls(
      served("@hob.method()\ndef f(self, x=2):\n    return [self.g(x), TOKEN]\n"),
      "class Base:\n    def g(self, x):\n        return x + self.k\n",
    ).replace("Model:", "Model(Base):"),
    edits: [["app.py", "return x + self.k", "return x * self.k"]],
    ...{ call: "Model.f", tier: "patch", reason: /body of Base.g changed/, was: 12, now: 20 },
  },
  {
    name: "an enter hook of a base class",
    app: cls(
      "@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n",
      "class Base:\n    @hob.enter()\n    def load(self):\n        self.k = 10\n",
    ).replace("Model:", "Model(Base):"),
    edits: [["app.py", "self.k = 10", "self.k = 20"]],
    ...{ call: "Model.f", tier: "fork", reason: /Base.load is an enter hook/, was: 12, now: 22 },
  },
  {
    name: "another base class",
    app: cls(
      "@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n",
      "class One:\n    k = 1\n\nclass Two:\n    k = 2\n",
    ).replace("Model:", "Model(One):"),
    edits: [["app.py", "(One)", "(Two)"]],
    ...{ call: "Model.f", tier: "fork", reason: /Model|Two/, was: 3, now: 4 },
  },
  {
    name: "a default of a method",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n")),
    edits: [["app.py", "x=2", "x=3"]],
    ...{ call: "Model.f", tier: "fork", reason: /default of Model.f changed/, was: 12, now: 13 },
  },
  {
    name: "an attribute of the class",
    app: cls("k = 10\n\n@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n"),
    edits: [["app.py", "k = 10", "k = 20"]],
    ...{ call: "Model.f", tier: "fork", reason: /Model/, was: 12, now: 22 },
  },
  {
    name: "a new method that is called",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n")),
    edits: [
      ["app.py", "    @hob.method()", "    def g(self):\n        return 5\n\n    @hob.method()"],
      ["app.py", "self.k + x", "self.g() + x"],
    ],
    ...{ call: "Model.f", tier: "fork", reason: /Model/, was: 12, now: 7 },
  },
  {
    name: "the timeout of a class",
    app: cls(served("@hob.method()\ndef f(self, x=2):\n    return [self.k + x, TOKEN]\n")),
    edits: [["app.py", "cls()", "cls(timeout=9)"]],
    ...{ call: "Model.f", tier: "patch", reason: /timeout changed/, was: 12, now: 12 },
  },
  {
    name: "a method of an object that a hook has loaded",
    app: cls(
      "@hob.enter()\ndef load(self):\n    self.net = Net(10)\n\n@hob.method()\ndef f(self, x=2):\n    return [self.net.predict(x), TOKEN]\n",
      "class Net:\n    def __init__(self, k):\n        self.k = k\n\n    def predict(self, x):\n        return self.k + x\n",
    ),
    edits: [["app.py", "self.k + x", "self.k - x"]],
    ...{ call: "Model.f", tier: "patch", reason: /body of Net.predict changed/, was: 12, now: 8 },
  },
  {
    name: "the constructor of an object that a hook has loaded",
    app: cls(
      "@hob.enter()\ndef load(self):\n    self.net = Net(10)\n\n@hob.method()\ndef f(self, x=2):\n    return [self.net.predict(x), TOKEN]\n",
      "class Net:\n    def __init__(self, k):\n        self.k = k\n\n    def predict(self, x):\n        return self.k + x\n",
    ),
    edits: [["app.py", "self.k = k", "self.k = k * 2"]],
    ...{ call: "Model.f", tier: "fork", reason: /Net.__init__ runs when Model is loaded/, was: 12, now: 22 },
  },
  ...(["staticmethod", "classmethod"] as const).map(
    (kind): EditRow => ({
      name: `a ${kind}`,
      app: f(
        "return [Tool.g(x), TOKEN]",
        `class Tool:\n    @${kind}\n    def g(${kind === "classmethod" ? "cls, " : ""}x):\n        return x\n`,
      ),
      edits: [["app.py", "return x\n", "return x + 1\n"]],
      ...{ tier: "patch", reason: /body of Tool.g changed/, was: 2, now: 3 },
    }),
  ),
  {
    name: "a property",
    app: f("return [Tool().g, TOKEN]", "class Tool:\n    @property\n    def g(self):\n        return 1\n"),
    edits: [["app.py", "return 1", "return 2"]],
    ...{ tier: "patch", reason: /body of Tool.g changed/, was: 1, now: 2 },
  },
  {
    name: "a method of a class with slots",
    app: f(
      "return [Tool(x).g(), TOKEN]",
      "class Tool:\n    __slots__ = ('x',)\n\n    def __init__(self, x):\n        self.x = x\n\n    def g(self):\n        return self.x\n",
    ),
    edits: [["app.py", "return self.x", "return -self.x"]],
    ...{ tier: "patch", reason: /body of Tool.g changed/, was: 2, now: -2 },
  },
  {
    name: "the slots of a class",
    app: f("return [Tool.__slots__[0], TOKEN]", "class Tool:\n    __slots__ = ('x',)\n"),
    edits: [["app.py", "('x',)", "('y',)"]],
    ...{ tier: "fork", reason: /Tool/, was: "x", now: "y" },
  },
  {
    name: "super() that comes into a method",
    app: f(
      "return [B().g(), TOKEN]",
      "class A:\n    def g(self):\n        return 1\n\nclass B(A):\n    def g(self):\n        return 2\n",
    ),
    edits: [["app.py", "return 2", "return super().g() + 2"]],
    ...{ tier: "fork", reason: /super/, was: 2, now: 3 },
  },
  {
    name: "a method that uses super()",
    app: f(
      "return [B().g(), TOKEN]",
      "class A:\n    def g(self):\n        return 1\n\nclass B(A):\n    def g(self):\n        return super().g() + 1\n",
    ),
    edits: [["app.py", "super().g() + 1", "super().g() + 2"]],
    ...{ tier: "patch", reason: /body of B.g changed/, was: 2, now: 3 },
  },
  {
    name: "a field of a dataclass",
    app: f("return [Point().y, TOKEN]", "import dataclasses\n\n@dataclasses.dataclass\nclass Point:\n    y: int = 1\n"),
    edits: [["app.py", "y: int = 1", "y: int = 2"]],
    ...{ tier: "fork", reason: /Point/, was: 1, now: 2 },
  },
  {
    name: "a method of a dataclass",
    app: f(
      "return [Point().g(), TOKEN]",
      "import dataclasses\n\n@dataclasses.dataclass\nclass Point:\n    y: int = 1\n\n    def g(self):\n        return self.y\n",
    ),
    edits: [["app.py", "return self.y", "return -self.y"]],
    ...{ tier: "fork", reason: /Point is decorated/, was: 1, now: -1 },
  },
  {
    name: "a member of an enum",
    app: f("return [Colour.RED.value, TOKEN]", "import enum\n\nclass Colour(enum.Enum):\n    RED = 1\n"),
    edits: [["app.py", "RED = 1", "RED = 2"]],
    ...{ tier: "fork", reason: /Colour/, was: 1, now: 2 },
  },
  {
    name: "a method of an enum",
    app: f(
      "return [Colour.RED.g(), TOKEN]",
      "import enum\n\nclass Colour(enum.Enum):\n    RED = 1\n\n    def g(self):\n        return self.value\n",
    ),
    edits: [["app.py", "return self.value", "return -self.value"]],
    ...{ tier: "fork", reason: /base class from outside/, was: 1, now: -1 },
  },
  {
    name: "the fields of a named tuple",
    app: f("return [Point(1)._fields[0], TOKEN]", "from typing import NamedTuple\n\nclass Point(NamedTuple):\n    a: int\n"),
    edits: [["app.py", "a: int", "b: int"]],
    ...{ tier: "fork", reason: /Point/, was: "a", now: "b" },
  },
  {
    name: "a method of an object that the module made",
    app: f(
      "return [NET.predict(x), TOKEN]",
      `${slow}class Net:\n    def __init__(self):\n        self.k = 10\n\n    def predict(self, x):\n        return self.k + x\n\nNET = Net()\n`,
    ),
    edits: [["app.py", "self.k + x", "self.k - x"]],
    ...{ tier: "patch", reason: /body of Net.predict changed/, was: 12, now: 8 },
  },
];
