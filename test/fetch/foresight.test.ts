// ⑤ What comes with a read that nobody has traced: the libraries of a program, down to the last, and the modules that a Python module imports.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { encodeTrace } from "../../agent/fetch/trace.ts";
import { bytesOf, makeFolder, makeImage, openTestNode, serveContents } from "./places.ts";

/** Contents of this machine's libraries, by where the image has them. */
function librariesOf(program: string): Map<string, Buffer> {
  const lines = execFileSync("ldd", [program], { encoding: "utf8" }).split("\n");
  const paths = lines.flatMap((line) => /=> (\/\S+)/.exec(line)?.[1] ?? []);
  return new Map(paths.map((path) => [`usr/lib/x86_64-linux-gnu/${basename(path)}`, readFileSync(realpathSync(path))]));
}

test("a program that is begun brings what its libraries need to be loaded, and theirs, and no other library", async () => {
  using folder = makeFolder();
  const program = realpathSync("/usr/bin/git");
  const libraries = librariesOf(program);
  expect(libraries.size).toBeGreaterThan(1);
  const made = makeImage({
    "usr/bin/git": readFileSync(program),
    ...Object.fromEntries(libraries),
    "usr/lib/x86_64-linux-gnu/libother.so.1": bytesOf("other", 3 << 20),
  });
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  await using node = await openTestNode(folder.path, "a", control);
  await node.room.images.begin(made.image);
  await node.room.images.fetch(made.digestOf("usr/bin/git"), 0);
  const asked = (): Set<string> => new Set(control.wants.map(({ digest }) => digest));
  await expect
    .poll(asked)
    .toEqual(new Set([made.image, made.digestOf("usr/bin/git"), ...[...libraries.keys()].map(made.digestOf)]));
  const loaded = control.wants
    .filter(({ digest }) => digest === made.digestOf("usr/bin/git"))
    .reduce((sum, want) => sum + want.length, 0);
  expect(loaded).toBeLessThan(made.blobs.get(made.digestOf("usr/bin/git"))!.length);
});

test("a Python module that is read brings those that it imports while it is imported, and what these import", async () => {
  using folder = makeFolder();
  const site = join(folder.path, "site");
  const sources: Record<string, string> = {
    "app/__init__.py": "from . import first\nfrom .deep.inner import value\n\ndef later():\n    import lazily\n",
    "app/first.py": "import plain, missing_everywhere\nNUMBERS = [1, 2.5, 10 ** 30, None, 'x' * 3, (1, (2,)), 1j, b'bytes']\n",
    "app/deep/__init__.py": "class Deep:\n    def method(self, a, *b, c=1):\n        return [d for d in b]\n",
    "app/deep/inner.py": "from ..second import *\nfrom app.third import thing\nvalue = 1\n",
    "app/second.py": "",
    "app/third.py": "thing = 3\n",
    "plain.py": "",
    "lazily.py": "",
    "source/__init__.py": "import plain\nfrom . import part\n",
    "source/part.py": "",
  };
  for (const [path, text] of Object.entries(sources)) {
    mkdirSync(join(site, path, ".."), { recursive: true });
    writeFileSync(join(site, path), `${text}# ${path}\n`.padEnd(300_000, "#")); // no source comes along as a small neighbour
  }
  execFileSync("python3", ["-m", "compileall", "-q", site]);
  const files: Record<string, Buffer> = {};
  for (const entry of readdirSync(site, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(site.length + 1);
    if (entry.isFile() && !path.startsWith("source/__pycache__"))
      files[`usr/lib/python3/dist-packages/${path}`] = readFileSync(join(site, path));
  }
  const made = makeImage(files);
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  await using node = await openTestNode(folder.path, "a", control);
  const { images } = node.room;
  await images.begin(made.image);
  const places = new Map(Object.keys(files).map((path) => [made.digestOf(path), basename(path).replace(/\..*?pyc$/, "")]));
  const asked = (): string[] => [...new Set(control.wants.flatMap(({ digest }) => places.get(digest) ?? []))].sort();
  const compiled = Object.keys(files).find((path) => /app\/__pycache__\/__init__/.test(path))!;
  await images.fetch(made.digestOf(compiled));
  await expect.poll(asked).toEqual(["__init__", "first", "inner", "plain", "second", "third"]);
  control.wants.length = 0;
  await images.fetch(made.digestOf("usr/lib/python3/dist-packages/source/__init__.py")); // without bytecode
  await expect.poll(asked).toEqual(["__init__.py", "part.py"]);
});

test("a runner that is about to start brings its interpreter and what it imports, before anybody has read a byte; a trace is better, where there is one", async () => {
  using folder = makeFolder();
  const library = "usr/lib/python3.11";
  const source = (text: string, name: string): Buffer => Buffer.from(`${text}# ${name}\n`.padEnd(300_000, "#"));
  const made = makeImage({
    "usr/bin/python3.11": bytesOf("no program", 50_000),
    [`${library}/encodings/__init__.py`]: source("from . import aliases\n", "encodings"),
    [`${library}/encodings/aliases.py`]: source("", "aliases"),
    [`${library}/json.py`]: source("import decoder\n", "json"),
    [`${library}/decoder.py`]: source("", "decoder"),
    [`${library}/asyncio.py`]: source("", "asyncio"),
    "usr/lib/python3/dist-packages/numpy.py": source("", "numpy"),
  });
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const asked = (): Set<string> => new Set(control.wants.map(({ digest }) => digest));
  const imports = "import json\nfrom typing import Any";
  {
    await using node = await openTestNode(folder.path, "a", control);
    await node.room.images.begin(made.image);
    await node.room.images.foretellPython(made.image, () => "/usr/bin/python3.11", imports);
    const expected = [
      "usr/bin/python3.11",
      ...["encodings/__init__", "encodings/aliases", "json", "decoder"].map((name) => `${library}/${name}.py`),
    ];
    await expect.poll(asked).toEqual(new Set([made.image, ...expected.map(made.digestOf)]));
  }
  control.wants.length = 0;
  const digest = made.digestOf(`${library}/asyncio.py`);
  control.trace = encodeTrace(made.image, [
    {
      index: [...made.blobs.keys()]
        .filter((each) => each !== made.image)
        .sort()
        .indexOf(digest),
      chunk: undefined,
      digest,
      bytes: 300_000,
    },
  ]);
  await using traced = await openTestNode(folder.path, "b", control);
  await traced.room.images.begin(made.image);
  await traced.room.images.foretellPython(made.image, () => "/usr/bin/python3.11", imports);
  await expect.poll(asked).toEqual(new Set([made.image, digest]));
});
