// Images in code: both SDKs say the same of the same image, and a project's images are described with the files that they copy.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { sha256 } from "../../base/content-folder.ts";
import { installRoot } from "../../base/install.ts";
import { createPythonDescriber } from "../../project/describe/python.ts";
import { createTypeScriptDescriber } from "../../project/describe/typescript.ts";
import { imageKey } from "../../proto/image.ts";
import { Image } from "../../sdk/typescript/image.ts";
import { type Files, projectOf } from "./description.ts";

interface Case {
  python: string;
  typescript?: string; // where it is not the same text
  says: object | RegExp; // the definition, or what the error says
}

const image = (source: string, reference: string, ...steps: [kind: string, given: string[], source?: string][]): object => ({
  ...{ source, reference },
  steps: steps.map(([kind, given, from]) => ({ kind, arguments: given, ...(from !== undefined && { source: from }) })),
});
const zeros = "0".repeat(64);

const cases: Case[] = [
  { python: "Image.host()", says: image("host", "") },
  { python: 'Image.oci("python:3.12")', says: image("oci", "python:3.12") },
  { python: 'Image.oci("localhost:5000/a/b-c:1")', says: image("oci", "localhost:5000/a/b-c:1") },
  { python: "Image.debian()", says: image("debian", "bookworm") },
  { python: 'Image.debian("trixie")', says: image("debian", "trixie") },
  { python: 'Image.oci("registry.example/team/name:1.0")', says: image("oci", "registry.example/team/name:1.0") },
  { python: `Image.oci("localhost:5000/a@sha256:${zeros}")`, says: image("oci", `localhost:5000/a@sha256:${zeros}`) },
  {
    python:
      'Image.debian().apt_install("python3-numpy", "g++", "curl=7.88.1-10").pip_install("numpy>=2,<3", "a[b]; x<\'3\'").npm_install("@a/b@4")',
    typescript:
      'Image.debian().aptInstall("python3-numpy", "g++", "curl=7.88.1-10").pipInstall("numpy>=2,<3", "a[b]; x<\'3\'").npmInstall("@a/b@4")',
    says: image(
      ...(["debian", "bookworm"] as const),
      ["apt", ["python3-numpy", "g++", "curl=7.88.1-10"]],
      ["pip", ["numpy>=2,<3", "a[b]; x<'3'"]],
      ["npm", ["@a/b@4"]],
    ),
  },
  {
    python: 'Image.host().run("make", "make install").workdir("/srv/./x/").user("nobody").user("1000")',
    says: image(
      "host",
      "",
      ["run", ["make"]],
      ["run", ["make install"]],
      ["workdir", ["/srv/x"]],
      ["user", ["nobody"]],
      ["user", ["1000"]],
    ),
  },
  {
    python: 'Image.host().copy("./a/../assets/", "/srv/assets").copy("a.txt", "/srv/").copy(".", "/")',
    says: image("host", "", ["copy", ["/srv/assets"], "assets"], ["copy", ["/srv/"], "a.txt"], ["copy", ["/"], "."]),
  },
  {
    python: 'Image.host().env(LANG="C.UTF-8", A="1")',
    typescript: 'Image.host().env({ LANG: "C.UTF-8", A: "1" })',
    says: image("host", "", ["env", ["LANG", "C.UTF-8"]], ["env", ["A", "1"]]),
  },
  {
    python: 'Image.debian("Bookworm!")',
    says: /debian\(.Bookworm!.\) is not a suite; write for example Image.debian\("bookworm"\)/,
  },
  {
    python: 'Image.oci("python")',
    says: /oci\(.python.\) is not HOST\/NAME:TAG or HOST\/NAME@sha256:DIGEST; write for example Image.oci/,
  },
  { python: 'Image.oci("registry.example/name")', says: /is not HOST\/NAME:TAG/ },
  {
    python: 'Image.debian().apt_install("numpy and more")',
    typescript: 'Image.debian().aptInstall("numpy and more")',
    says: /(apt_install|aptInstall)\(.numpy and more.\) is not a package's name; write for example \1\("python3-numpy"\)/,
  },
  {
    python: "Image.debian().apt_install()",
    typescript: "Image.debian().aptInstall()",
    says: /has nothing to do; write for example/,
  },
  {
    python: 'Image.host().pip_install("-r x")',
    typescript: 'Image.host().pipInstall("-r x")',
    says: /is not a requirement; write for example/,
  },
  {
    python: 'Image.host().npm_install("a b")',
    typescript: 'Image.host().npmInstall("a b")',
    says: /is not a package; write for example/,
  },
  { python: 'Image.host().run(" ")', says: /run\(. .\) is not a command; write for example run\("make install"\)/ },
  {
    python: 'Image.host().copy("../x", "/x")',
    says: /copy\(.\.\.\/x., …\) lies outside the project; give a path from the project's folder/,
  },
  { python: 'Image.host().copy("/etc/passwd", "/x")', says: /lies outside the project/ },
  {
    python: 'Image.host().copy("x", "srv")',
    says: /copy: .srv. is not an absolute path in the image; write for example copy\("assets", "\/srv\/assets"\)/,
  },
  { python: 'Image.host().workdir("/a/../b")', says: /workdir: .\/a\/\.\.\/b. is not an absolute path/ },
  { python: 'Image.host().user("a b")', says: /user\(.a b.\) is not a user's name or number/ },
  {
    python: "Image.host().env(A=1)",
    typescript: "Image.host().env({ A: 1 })",
    says: /a variable's value is text; write for example env\(/,
  },
  {
    python: 'Image.host().env(**{"a-b": "1"})',
    typescript: 'Image.host().env({ "a-b": "1" })',
    says: /env: .a-b. is not a variable's name/,
  },
];

it("the SDKs say the same of every image in the table, and of every mistake how to write it", () => {
  const script = `import json, sys\nfrom hob import Image\nfor text in json.load(sys.stdin):\n    try:\n        said = eval(text).definition\n    except Exception as error:\n        said = str(error)\n    print(json.dumps(said))`;
  const env = { PYTHONPATH: join(installRoot, "sdk/python") };
  const input = JSON.stringify(cases.map(({ python }) => python));
  const lines = execFileSync("/usr/bin/python3", ["-c", script], { env, input, encoding: "utf8" }).trim().split("\n");
  for (const [at, { python, typescript = python, says }] of cases.entries()) {
    let second: unknown;
    try {
      second = (new Function("Image", `return ${typescript}`)(Image) as Image).definition;
    } catch (error) {
      second = (error as Error).message;
    }
    for (const said of [JSON.parse(lines[at]!) as unknown, second]) {
      if (says instanceof RegExp) expect(said, python).toMatch(says);
      else expect(said, python).toEqual(says);
    }
  }
});

it("an image does not change: each method gives another", () => {
  const first = Image.debian();
  first.aptInstall("curl");
  expect(first.definition.steps).toEqual([]);
});

const shared = { "assets/a.txt": "a", "assets/deep/b.txt": "b", "notes.md": "n" };
const projects: Record<"python" | "typescript", Files> = {
  python: {
    ...shared,
    "common/images.py": 'import hob\nimport numpy\n\nbase = hob.Image.debian("bookworm").apt_install("python3-pil")\n',
    "app.py":
      'import hob\nfrom common.images import base\n\napp = hob.App("shop")\nimage = base.copy("assets", "/srv/assets")\nimage = image.env(A="1")\n\n\n@app.function(image=image)\ndef paint():\n    return 1\n\n\n@app.function()\ndef plain():\n    return 2\n',
  },
  typescript: {
    ...shared,
    "common/images.ts":
      'import { Image } from "hob";\n\nexport const base = Image.debian("bookworm").aptInstall("python3-pil");\n',
    "app.ts":
      'import { App } from "hob";\nimport { base } from "./common/images.ts";\n\nconst app = new App("shop");\nlet image = base.copy("assets", "/srv/assets");\nimage = image.env({ A: "1" });\n\nexport const paint = app.function({ image }, async () => 1);\n\nexport const plain = app.function({}, async () => 2);\n',
  },
};

it.each(["python", "typescript"] as const)(
  "an image of another module is described with the files that it copies, and its edits say what changed: %s",
  async (language) => {
    using stack = new DisposableStack();
    const root = mkdtempSync(join(tmpdir(), "hob-images-"));
    stack.defer(() => rmSync(root, { recursive: true, force: true }));
    const put = (given: Files): Files => {
      for (const [path, text] of Object.entries(given)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      return given;
    };
    await using describer = language === "python" ? createPythonDescriber() : createTypeScriptDescriber(root);
    const { describe, edit } = projectOf(describer);
    const [app, images] = language === "python" ? ["app.py", "common/images.py"] : ["app.ts", "common/images.ts"];
    let files = put(projects[language]);
    const first = await describe(files);
    expect(first.diagnostics).toEqual([]);
    const [paint, plain] = first.functions;
    const copied = [
      { path: "a.txt", digest: sha256("a"), size: 1, mode: 0o644 },
      { path: "deep/b.txt", digest: sha256("b"), size: 1, mode: 0o644 },
    ];
    const whole = {
      ...{ source: "debian", digest: "", reference: "bookworm" },
      steps: [
        { kind: "apt", arguments: ["python3-pil"], files: [] },
        { kind: "copy", arguments: ["/srv/assets"], files: copied },
        { kind: "env", arguments: ["A", "1"], files: [] },
      ],
    };
    expect(paint!.spec.image).toEqual(whole);
    expect(imageKey(plain!.spec.image!)).toBe("source:host");

    // Where an image is made from another module's, TypeScript's describer does not see that its methods only declare.
    const plainToo = (file: string) => (language === "typescript" ? { plain: `fork: module code of ${file} changed` } : {});
    const rows: [Files, Record<string, string> | string][] = [
      [{ "assets/a.txt": "other" }, { paint: "container: image changed: step 2 copy to /srv/assets: a.txt changed" }],
      [{ "notes.md": "other" }, "no function reaches notes.md"],
      [
        { [images]: files[images]!.replace('"python3-pil"', '"python3-pil", "ffmpeg"') },
        { paint: "container: image changed: step 1 apt_install ffmpeg added", ...plainToo(images) },
      ],
      [
        { [images]: files[images]! },
        { paint: "container: image changed: step 1 apt_install ffmpeg removed", ...plainToo(images) },
      ],
      [
        { [app]: files[app]!.replace(/image = image\.env/, 'image = image.run("make").env') },
        { paint: "container: image changed: step 3 run make added", ...plainToo(app) },
      ],
      [{ [app]: files[app]! }, { paint: "container: image changed: step 3 run make removed", ...plainToo(app) }],
      [
        { [images]: files[images]!.replace("bookworm", "trixie") },
        { paint: "container: image changed: debian bookworm became debian trixie", ...plainToo(images) },
      ],
    ];
    for (const [edited, changes] of rows) {
      files = { ...files, ...put(edited) };
      expect(await edit(files), JSON.stringify(edited)).toEqual(changes);
    }

    files = { ...files, ...put({ [app]: files[app]!.replace('copy("assets"', 'copy("nothing"') }) };
    const wrong = await describe(files);
    expect(wrong.functions.map(({ spec, held }) => [spec.name, held])).toEqual([
      ["paint", true],
      ["plain", false],
    ]);
    expect(wrong.diagnostics).toMatchObject([
      {
        file: app,
        message: expect.stringContaining('step 2 copy("nothing", "/srv/assets"): the project has no such file or folder'),
      },
    ]);
  },
);

it("a package that only a function's image has is left to it, and its options are told all the same", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-absent-"));
  await using describer = createTypeScriptDescriber(folder);
  const project = projectOf(describer);
  const text = (given: string): string => `import { App, Image } from "hob";
import thing, { Client, deep } from "absent-thing";
import * as inner from "@scope/absent/inner";
const app = new App("left");
const client = new Client({ at: deep.value + \`\${inner.name}\` });
class Mine extends Client {}
export const use = app.function({ image: ${given}, memory: "64MiB" }, async () => [thing, client.call(), new Mine()]);
`;
  const described = async (given: string) => {
    writeFileSync(join(folder, "app.ts"), text(given));
    return await project.describe({ "app.ts": text(given) });
  };
  const installed = await described('Image.debian().npmInstall("absent-thing@^1.2", "@scope/absent@3")');
  expect(installed.diagnostics).toEqual([]);
  expect(installed.functions.map(({ spec }) => [spec.name, spec.memoryBytes])).toEqual([["use", 64 << 20]]);
  expect(installed.functions[0]!.bundle!.data.toString()).toMatch(/require\("absent-thing"\)/);
  const half = await described('Image.debian().npmInstall("absent-thing")');
  expect(half.diagnostics).toMatchObject([{ file: "app.ts", line: 3, message: expect.stringContaining("@scope/absent") }]);
  expect((await described('Image.oci("node:24")')).diagnostics).toEqual([]);
  rmSync(folder, { recursive: true });
});
