// The whole product as its user has it: a terminal, an editor's save, the new result on the screen.

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { openScreen, type Screen } from "../drive/screen.ts";
import { makeWorkplace, type Workplace } from "../drive/workplace.ts";

const hob = join(installRoot, "bin/hob");

async function live(place: Workplace, options: string[] = ["--pin", "longest"]): Promise<Screen> {
  const screen = openScreen(hob, ["dev", place.project, ...options], { columns: 140, rows: 40, environment: place.environment });
  await screen.waitFor("the live screen", (text) => text.includes("● live") && text.includes("longest"), 90_000);
  return screen;
}

async function quit(screen: Screen): Promise<void> {
  screen.press("q");
  expect((await screen.ended).exitCode).toBe(0);
  expect(screen.alternate()).toBe(false);
}

describe.skipIf(!rootWithContainers())("the workbench in a terminal", () => {
  test("a saved change shows its new result and what the save cost", async () => {
    using place = makeWorkplace("quickstart");
    await using screen = await live(place);
    place.save(
      "measure/source.py",
      place.read("measure/source.py").replace('name, lines = "", 0', 'name, lines = "edited", 100000'),
    );
    const text = await screen.waitFor(
      "the result of the edited function",
      (seen) => seen.includes("edited") && /save→result\s+[\d.]+ m?s/.test(seen),
    );
    expect(text).toMatch(/measure\/source\.py/);
    expect(text).toMatch(/watch\s+[\d.]+/);
    expect(text).toMatch(/total\s+[\d.]+ m?s/);
    await quit(screen);
  });

  test("a comment reloads nothing and the receipt says so", async () => {
    using place = makeWorkplace("quickstart");
    await using screen = await live(place);
    place.save("app.py", `${place.read("app.py")}\n# a remark\n`);
    await screen.waitFor("the reason", (text) => text.includes("comment or formatting only"));
    await quit(screen);
  });

  test("a syntax error shows its line, the old version keeps serving, and the mended file answers anew", async () => {
    using place = makeWorkplace("quickstart");
    await using screen = await live(place);
    const good = place.read("app.py");
    place.save("app.py", good.replace("def longest(module", "def longest((module"));
    await screen.waitFor("the fault", (text) => /app\.py:\d+/.test(text) && /keeps? serving/.test(text));
    screen.press("r");
    await screen.waitFor("a result of the old version", (text) => /✓ [\d.]+ m?s/.test(text));
    place.save("app.py", good.replace('"lines": lines}', '"lines": lines, "mended": True}'));
    await screen.waitFor("the mended result", (text) => text.includes("mended"));
    await quit(screen);
  });

  test("a function is run by key with an edited input, pinned, cancelled", async () => {
    using place = makeWorkplace({
      "app.py":
        "import time\nimport hob\n\napp = hob.App('keys')\n\n@app.function()\ndef wait(seconds: float = 600):\n    print('waiting')\n    time.sleep(seconds)\n    return 'waited'\n",
    });
    const screen = openScreen(hob, ["dev", place.project], { columns: 140, rows: 40, environment: place.environment });
    await using _ = screen;
    await screen.waitFor("the live screen", (text) => text.includes("● live") && text.includes("wait"), 90_000);
    screen.press("r");
    await screen.waitFor("its output", (text) => /\d\d:\d\d:\d\d.*waiting/.test(text));
    screen.press("c");
    await screen.waitFor("the cancelled call", (text) => text.includes("cancelled"));
    screen.press("R");
    await screen.waitFor("the editor with the parameter's name", (text) => text.includes("seconds"));
    screen.press("0.01\r"); // the cursor waits inside the brackets
    await screen.waitFor("the result", (text) => text.includes("waited"));
    const before = screen.lines().at(-1) ?? "";
    screen.press("?");
    await screen.waitFor("help", (text) => text.includes("every save") && !text.endsWith(before));
    screen.press("\u001b");
    await screen.waitFor("the main view again", (text) => text.endsWith(before));
    await quit(screen);
  });
});
