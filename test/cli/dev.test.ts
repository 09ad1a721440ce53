// `hob dev` without a screen, on a real pool: what it prints, what it pins, how it ends.

import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startDev } from "../drive/dev-process.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { makeWorkplace, type Workplace } from "../drive/workplace.ts";
import { hob, onceSaid, type Place, startHob } from "./run-hob.ts";

const source = (word: string) => `import hob

app = hob.App("desk")


@app.function()
def greet(name: str):
    return "${word} " + name


@app.function()
def other():
    return 1
`;

describe.skipIf(!rootWithContainers())("hob dev", { timeout: 120_000 }, () => {
  let place: Workplace;
  let at: Place;

  beforeAll(() => {
    place = makeWorkplace({ "app.py": source("hello") });
    place.environment["HOB_LINGER_MS"] = "30000";
    at = { folder: place.project, environment: { ...place.environment, NO_COLOR: "1" }, [Symbol.dispose]() {} };
  });

  afterAll(async () => {
    await hob(at, ["pool", "stop", "--force"]);
    place[Symbol.dispose]();
  });

  test("--json: a pinned function is called at the start, is ready, and is called after each save that changes it", async () => {
    await using dev = startDev(place.project, ["--pin", "greet", "--args", '["you"]'], place.environment);
    // "ready" is of the pool, and waits for no call to end: it comes before the first outcome where a sample of the fleet does.
    const first = new Map<string, unknown>();
    await dev.next("the first call, and ready", (line) => first.set(line.event, line).has("call") && first.has("ready"));
    expect(first.get("call")).toMatchObject({ function: "greet", ok: true, value: "hello you" });
    place.save("app.py", source("goodbye"));
    const reload = await dev.next("the reload", ({ event }) => event === "reload");
    expect(reload.line).toMatchObject({ functions: ["greet"], files: ["app.py"] });
    const second = await dev.next("the second call", ({ event }) => event === "call");
    expect(second.line).toMatchObject({ ok: true, value: "goodbye you", ms: { saveToResult: expect.any(Number) } });
  });

  test("--plain prints lines, and SIGTERM ends it with 0", async () => {
    const { child, said } = startHob(at, ["dev", ".", "--plain", "--pin", "other"]);
    onceSaid(child.stdout, ["● ready", "other()"], () => child.kill("SIGTERM"));
    const { code, stdout } = await said;
    expect(stdout).toMatch(/other\(\).* 1 /);
    expect(code).toBe(0);
  });

  test.each<[string, string[], RegExp]>([
    ["a function that does not exist", ["--pin", "gret"], /^hob: there is no function "gret": did you mean "greet"\?\n$/],
    ["arguments that do not fit", ["--pin", "greet"], /^hob: greet: .*name.*\n$/],
  ])("a pin of %s ends with one sentence and exit code 2", async (_, args, sentence) => {
    const said = await hob(at, ["dev", ".", "--json", ...args]);
    expect(said.stderr).toMatch(sentence);
    expect(said.code).toBe(2);
  });

  test("a project without functions shows how one looks, and a project folder that is deleted is told of", async () => {
    using empty = makeWorkplace({ "README.md": "nothing" });
    const { child, said } = startHob({ ...at, folder: empty.project }, ["dev", ".", "--plain"]);
    onceSaid(child.stdout, "@app.function()", () => rmSync(empty.project, { recursive: true }));
    onceSaid(child.stdout, "is gone", () => child.kill("SIGTERM"));
    const { code, stdout } = await said;
    expect(stdout).toContain("the project has no functions yet");
    expect(stdout).toContain("is gone");
    expect(code).toBe(0);
  });
});
