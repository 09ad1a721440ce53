// ② Endpoints as declared: where each answers, and what an edit of that makes of the function.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createPythonDescriber, type LanguageDescriber } from "../../project/describe/python.ts";
import { createTypeScriptDescriber } from "../../project/describe/typescript.ts";
import { projectOf } from "./description.ts";

const python = `import hob

app = hob.App("shop")
root = "/items"

@app.endpoint()
def hello(name: str = "world"):
    return name

@app.endpoint(root + "/{id}", methods=["PUT", "GET"], public=False, max_body="2MiB", memory="256MiB")
def item(id: int):
    yield id

@app.asgi("/")
def web():
    return None
`;

const typescript = `import { App } from "hob";

const app = new App("shop");
export const hello = app.fetch({}, (request: Request) => new Response(request.url));
const api = { fetch: (request: Request) => new Response("x") };
export const item = app.fetch({ path: "/items/", public: true, maxBody: 5, concurrency: 2 }, api.fetch);
`;

async function described(describer: LanguageDescriber, file: string, text: string, edit: () => string) {
  const project = projectOf(describer);
  const { functions, diagnostics } = await project.describe({ [file]: text });
  expect(diagnostics).toEqual([]);
  const specs = Object.fromEntries(functions.map(({ spec }) => [spec.name, { ...spec.endpoint, concurrency: spec.concurrency }]));
  return { specs, changes: await project.edit({ [file]: edit() }), describe: project.describe };
}

test("an endpoint in Python says where it answers; another path is a save like any other, and a wrong one is named", async () => {
  await using describer = createPythonDescriber();
  const { specs, changes, describe } = await described(describer, "app.py", python, () =>
    python.replace('root = "/items"', 'root = "/things"'),
  );
  const standard = { methods: [], access: "", maxBodyBytes: 0, concurrency: 1 };
  expect(specs).toEqual({
    hello: { ...standard, kind: "function", path: "/hello" },
    item: {
      kind: "function",
      path: "/items/{id}",
      methods: ["GET", "PUT"],
      access: "token",
      maxBodyBytes: 2 << 20,
      concurrency: 1,
    },
    web: { ...standard, kind: "asgi", path: "/" },
  });
  expect(changes).toEqual({ item: expect.stringContaining("endpoint changed") });
  const wrong = await describe({ "app.py": python.replace("@app.endpoint()", '@app.endpoint("hello")') });
  expect(wrong.diagnostics[0]?.message).toContain("path='hello' is not a path; write for example \"/items/{id}\"");
});

test("a fetch handler in TypeScript answers below its path, sixteen at a time unless it says otherwise", async () => {
  const root = mkdtempSync(join(tmpdir(), "hob-endpoints-"));
  const edited = typescript.replace('"/items/"', '"/things"');
  try {
    writeFileSync(join(root, "app.ts"), typescript);
    await using describer = createTypeScriptDescriber(root);
    const { specs, changes } = await described(describer, "app.ts", typescript, () => {
      writeFileSync(join(root, "app.ts"), edited);
      return edited;
    });
    expect(specs).toEqual({
      hello: { kind: "fetch", path: "/hello", methods: [], access: "", maxBodyBytes: 0, concurrency: 16 },
      item: { kind: "fetch", path: "/items", methods: [], access: "public", maxBodyBytes: 5, concurrency: 2 },
    });
    expect(changes).toEqual({ item: expect.stringContaining("endpoint changed") });
  } finally {
    rmSync(root, { recursive: true });
  }
});
