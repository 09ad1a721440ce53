// Journeys on the screen, on a real pool: functions run, fail, are saved, kept, compared and cancelled. One goes on where the one before it has left.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { clearDesk, type Desk, keys, makeDesk, python, sitDown } from "../drive/desk.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import type { Workplace } from "../drive/workplace.ts";

/** `hob replay-input` as a person types it. */
function replayInput(
  { environment }: Workplace,
  argv: string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(join(installRoot, "bin/hob"), ["replay-input", ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  return Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]).then(([[code], stdout, stderr]) => ({
    ...{ code: code as number | null, stdout, stderr },
  }));
}

const { esc, enter, tab, up, clear, interrupt } = keys;

describe.skipIf(!rootWithContainers())("running on the screen", { timeout: 60_000 }, () => {
  let place: Workplace;
  let desk: Desk;
  beforeAll(async () => {
    place = makeDesk();
    desk = sitDown(place);
    await desk.does("", ["● live", "greet", "double", "1 node"]);
  });
  afterAll(async () => {
    await desk[Symbol.asyncDispose]();
    await clearDesk(place);
  });

  test("the tour begins with how to run, and goes on once that is done", async () => {
    await desk.does("j", ["▸ shape", "tour 1 of 5  r runs the selected function", "X ends the tour"]);
    await desk.does("kr", ["tour 2 of 5", '→ "hello world"']);
  });

  test("a run shows where it ran, its code, its output and its result", async () => {
    await desk.does("", ["code ", "image host", "greeting world", "Run #1  greet()", "#1  ✓ greet"]);
  });

  test("a save shows what it changed and what that cost, and the tour goes on", async () => {
    place.save("app.py", python("hi"));
    await desk.does("", ["✓ app.py → greet (body changed)", "load ", "total ", "tour 3 of 5"]);
  });

  test("p pins: the next save runs the function, and the whole way is measured", async () => {
    await desk.does("p", ["◆"]);
    place.save("app.py", python("hey"));
    await desk.does("", ['→ "hey world"', "save→result ", "run "]);
  });

  test("p again unpins", async () => {
    await desk.does("p", ["1 Functions"], ["◆"]);
  });

  test("R edits the input: tab completes the parameter's name, what fits is said so", async () => {
    await desk.does(`R${clear}${tab}`, ["greet(name: str = …) → str", '{"name": ', "✗ expected a value"]);
    await desk.does('"Ada"', ["✓ fits"]);
    await desk.does(enter, ['→ "hey Ada"', 'greet(name = "Ada")'], ["Run with…"]);
  });

  test("r runs with the last input", async () => {
    await desk.does("r", ["Run #4", '→ "hey Ada"']);
  });

  test("an input that does not fit is refused in its place, and esc leaves it", async () => {
    await desk.does(`R${clear}[1, 2, 3]`, ["✗ "], ["✓ fits"]);
    await desk.does(enter, ["not sent: "]);
    await desk.does(esc, ["Run #4"], ["Run with…"]);
  });

  test("earlier inputs are there with the arrow keys, in the next session too", async () => {
    await desk.does(`R${clear}["Bob"]${enter}`, ['→ "hey Bob"']);
    await desk.does(`R${up}${up}`, ['{"name":"Ada"}']);
    await desk.does(esc, ["Run #5"], ["Run with…"]);
    expect(readFileSync(join(place.state, "hob/inputs.json"), "utf8")).toContain("Bob");
  });

  test("a function in TypeScript runs the same way", async () => {
    await desk.does(":double\r", ["▸ double", "Twice as much."]);
    await desk.does("r", ["→ 42", "doubling 21"]);
  });

  test("a function without known input asks for it", async () => {
    await desk.does(":shape\r", ["▸ shape"]);
    await desk.does("r", ["Run with…", "shape(values: list, width: int = …)"]);
    await desk.does(`${clear}[[1, 2, 3]]${enter}`, ["→ [2, 4, 6]"]);
  });

  test("a failure shows its sentence and the project's own line", async () => {
    await desk.does(`R${clear}[[60, 70]]${enter}`, [
      "✗ ValueError: bad shape",
      "app.py:18  in shape",
      'raise ValueError("bad shape")',
    ]);
  });

  test("the same failure again is one row with a count", async () => {
    await desk.does("r", ["#9 ", "×2  ValueError: bad shape"]);
    await desk.does("a", ["#10 ", "×3  ValueError: bad shape", "the same 3 times in a row"]);
  });

  test("i shows what the variables of the failure's frame held, asked of its process", async () => {
    await desk.does("i", ["values  [60, 70]", "width   2", "total   130"]);
    await desk.does("i", ["the same 3 times in a row"], ["total   130"]);
  });

  test("enter opens the run in full with its timing, esc comes back, and the tour has seen it", async () => {
    await desk.does(`2${enter}`, ["Timing", "started by", "Input", "[[60, 70]]", "Traceback"]);
    await desk.does(esc, ["1 Functions", "tour 4 of 5"]);
  });

  test("K keeps the failing input; hob replay-input fails with it, and gives its result once the fault is mended", async () => {
    await desk.does("K", ["kept: hob replay-input desk.shape-10"]);
    const before = await replayInput(place, ["desk.shape-10"]);
    expect(before).toMatchObject({ code: 1, stderr: expect.stringContaining("which gave: ValueError: bad shape") });
    place.save("app.py", python("hey").replace("> 100", "> 1000"));
    await desk.does("", ["shape (body changed)", "✓ app.py"]);
    expect(await replayInput(place, ["desk.shape-10"])).toMatchObject({ code: 0, stdout: "[120,140]\n" });
    expect((await replayInput(place, ["#8"])).stdout).toBe("[120,140]\n");
    expect((await replayInput(place, [])).stdout).toContain("desk.shape-10");
  });

  test("= compares with the run before, and marks what differs", async () => {
    await desk.does(`1R${clear}[[1, 2, 3], 5]${enter}`, ["→ [5, 10, 15]"]);
    await desk.does("=", ["Compare", "#13", "#14", "≠ width", "– none –", "Time"]);
    await desk.does("=", ["1 Functions"]);
  });

  test("+ marks two runs, and = shows their results side by side", async () => {
    await desk.does("3g+", ["▸#14+"]);
    await desk.does("G+=", ["Compare", "#1 ", "#14", "≠"]);
    await desk.does(esc, ["1 Functions"]);
  });

  test("a runs again what the chosen run was given, with the code of now", async () => {
    await desk.does("3Ga", ["#15 ✓ greet", '→ "hey world"']);
  });

  test("c cancels a run that is under way", async () => {
    await desk.does(`${esc}:slow\r`, ["▸ slow"]);
    await desk.does("r", ["● running", "sleeping"]);
    await desk.does("c", ["– cancelled"]);
  });

  test("ctrl-c cancels what is under way, and says that the next one quits", async () => {
    await desk.does("r", ["● running", "sleeping"]);
    await desk.does(interrupt, ["ctrl-c again quits hob"]);
    await desk.does("k", ["▸ shape"], ["ctrl-c again"]);
  });

  test("space holds saves back, and ships them when it goes on", async () => {
    await desk.does(" ", ["‖ paused"]);
    place.save("app.py", python("good day"));
    await desk.does("", ["◌ app.py → greet"]);
    await desk.does(" ", ["✓ app.py → "], ["paused"]);
  });

  test("a fault in the text shows its place, the versions before serve, and it goes when it is mended", async () => {
    place.save("app.py", python("good day").replace("def greet(", "def greet(("));
    await desk.does("", ["✗ app.py:8", "the versions before keep serving"]);
    await desk.does(":greet\r", ["▸ greet"]);
    await desk.does(`R${clear}["Eve"]${enter}`, ['→ "good day Eve"']);
    place.save("app.py", python("good day"));
    await desk.does("", ["1 Functions"], ["✗ app.py:8"]);
  });

  test("a function that is new is there to run, one that is gone says so", async () => {
    place.save("more.py", 'import hob\napp = hob.App("desk")\n\n\n@app.function()\ndef extra():\n    return {"a": 1}\n');
    await desk.does("", ["extra    py"]);
    await desk.does(":extra\r", ["▸ extra"]);
    await desk.does("r", ['→ {"a": 1}']);
    place.save("more.py", "");
    await desk.does("", ["extra removed"], ["▸ extra"]);
  });

  test("q leaves, and the terminal is as it was", async () => {
    await desk.leave();
  });
});
