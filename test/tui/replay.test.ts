// Recorded sessions in a real terminal: the one that comes with hob, and one that has just been recorded.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { openScreen, type Screen } from "../drive/screen.ts";
import { makeWorkplace } from "../drive/workplace.ts";

const hob = join(installRoot, "bin/hob");
const open = (argv: string[], environment: Record<string, string>): Screen =>
  openScreen(hob, argv, { columns: 120, rows: 36, environment: { ...environment, TZ: "UTC" } });

test("hob demo lives to its end; what looks works, what would run says that nothing runs, and the terminal comes back", async () => {
  using place = makeWorkplace({});
  await using screen = open(["demo", "--speed", "64"], place.environment);
  await screen.waitFor("its end", (text) => text.includes("■ end of the recording") && text.includes("Run #61  crawl()"));
  screen.press("r");
  await screen.waitFor("why not", (text) => text.includes("this is a recorded session, nothing runs"));
  screen.press("F");
  await screen.waitFor("the fleet", (text) => text.includes("Containers  1"));
  screen.press("q");
  expect((await screen.ended).exitCode).toBe(0);
  expect(screen.alternate()).toBe(false);
});

test("step by step a replay shows one event after the other, and goes on", async () => {
  using place = makeWorkplace({});
  await using screen = open(["demo", "--step", "--speed", "64"], place.environment);
  await screen.waitFor("that it waits", (text) => text.includes("‖ replay") && text.includes("reading the project"));
  screen.press("....");
  await screen.waitFor("the project", (text) => text.includes("Model.predict") && text.includes("‖ replay"));
  screen.press(" ");
  await screen.waitFor("the end", (text) => text.includes("■ end of the recording"));
});

test("hob replay refuses what is no recorded session with one sentence", async () => {
  using place = makeWorkplace({ "diary.txt": "Dear diary" });
  await using screen = open(["replay", join(place.project, "diary.txt")], place.environment);
  const text = await screen.waitFor("the refusal", (seen) => seen.includes("is not a recorded session"));
  expect(text).toContain("hob dev --record FILE");
  expect((await screen.ended).exitCode).toBe(2);
  expect(readFileSync(join(installRoot, "examples/demo.jsonl"), "utf8")).not.toContain("/tmp/");
});
