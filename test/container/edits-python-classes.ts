// Edits of classes that hob serves: what their objects keep, and when they are entered anew. Each row is run on a real container.

import { type EditRow, f, slow } from "./edits-python-rows.ts";

const cls = (methods: string, rest = "", options = ""): string =>
  `${rest}\n@app.cls(${options})\nclass Model:\n${methods.replace(/^(?=.)/gm, "    ")}\n`;
const loading = "@hob.enter()\ndef load(self):\n    self.k = 10\n\n";
const served = (methods: string): string => `${loading}${methods}`;

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
