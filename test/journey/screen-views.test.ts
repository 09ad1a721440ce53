// Journeys on the screen, on a real pool: looking at logs, the fleet, images and help, moving, and the first minutes in an empty folder.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clearDesk, type Desk, keys, makeDesk, sitDown } from "../drive/desk.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import type { Workplace } from "../drive/workplace.ts";

const { esc, enter, tab } = keys;

describe.skipIf(!rootWithContainers())("looking around", { timeout: 60_000 }, () => {
  let place: Workplace;
  let desk: Desk;
  beforeAll(async () => {
    place = makeDesk();
    const program = join(place.state, "..", "program");
    writeFileSync(program, `#!/bin/sh\necho "args: $*"; for last; do :; done; head -3 "$last"; echo "press enter"; read -r _`, {
      mode: 0o755,
    });
    desk = sitDown(place, { EDITOR: program, PAGER: program });
    await desk.does("", ["● live", "greet", "double", "1 node"]);
    await desk.does("r", ['→ "hello world"']);
    await desk.does(":chatty\rr", ["→ 120", "number 119"]);
  });
  afterAll(async () => {
    await desk[Symbol.asyncDispose]();
    await clearDesk(place);
  });

  test("X ends the tour, for the next session too", async () => {
    await desk.does("X", ["r run", "? help"], ["tour "]);
    expect(existsSync(join(place.state, "hob/tour-over"))).toBe(true);
  });

  test("l shows the function's logs to their end, with the container", async () => {
    await desk.does("l", ["Logs  chatty", "120 of 121 lines", "number 119"]);
  });

  test("g and G go to the first line and the last", async () => {
    await desk.does("g", ["warning: number 0", "below (f follows)"], ["number 119"]);
    await desk.does("G", ["number 119"], ["below (f follows)"]);
  });

  test("pages go up and down, by their keys and as in less", async () => {
    await desk.does("\x1b[5~", ["below (f follows)"], ["number 119"]);
    await desk.does("\x1b[6~", ["number 119"], ["below (f follows)"]);
    await desk.does("\x15", ["below (f follows)"], ["number 119"]);
    await desk.does("\x04", ["number 119"], ["below (f follows)"]);
  });

  test("v leaves out lower levels", async () => {
    await desk.does("vv", ["3 of 121 lines", "warnings and errors", "warning: number 100"]);
    await desk.does("vv", ["120 of 121 lines"], ["warnings and errors"]);
  });

  test("/ filters by regular expression, ! turns it round, @ is a container", async () => {
    await desk.does("/^number 1[01]. !and\r", ["/^number 1[01]. !and", "number 10"]);
    await desk.does(esc, ["120 of 121 lines"]);
    await desk.does("/@nothere\r", ["0 of 121 lines", "no line matches"]);
    await desk.does(esc, ["120 of 121 lines"]);
  });

  test("n goes from match to match among the other lines, N back, m shows the matches alone", async () => {
    await desk.does("/warning\r", ["3 of 121 lines"]);
    await desk.does("n", ["among all lines", "warning: number 0", "number 1 "]);
    await desk.does("n", ["warning: number 50"]);
    await desk.does("N", ["warning: number 0"]);
    await desk.does("m", ["3 of 121 lines"]);
    await desk.does(esc, ["120 of 121 lines"]);
  });

  test("L shows the logs of all functions", async () => {
    await desk.does("L", ["of all functions", "121 of 121 lines"]);
    await desk.does("g", ["greeting world", "greet  "]);
    await desk.does(esc, ["1 Functions"]);
  });

  test("f stays where it is in the run's output, w wraps its lines", async () => {
    await desk.does("2f", ["2 Run"]);
    await desk.does("g", ["lines below (f follows)"]);
    await desk.does("w", ["lines below"]);
    await desk.does("wf", ["number 119"], ["lines below"]);
  });

  test("F shows the fleet with its node, containers and charts; z looks further back", async () => {
    await desk.does("F", ["Fleet  last 1 min", "Containers  ", "cpu", "mem", "net ↓", "% of images here"]);
    await desk.does("z", ["last 5 min"]);
    await desk.does("zzz", ["last 1 min"]);
    await desk.does(esc, ["1 Functions"]);
  });

  test("I shows the images with their size", async () => {
    await desk.does("I", ["On the nodes", "host", "files", "Builds"]);
    await desk.does(esc, ["1 Functions"]);
  });

  test("A shows the deployments and schedules; d, pressed twice, deploys what runs here", async () => {
    await desk.does("A", ["Deployments", "desk  not deployed", "Schedules", "none: a function has one"]);
    await desk.does("d", ["d again deploys desk"]);
    await desk.does("d", ["desk: deployment 1 is live", "deployment 1 ", "the same", "+ greet"]);
    await desk.does("dd", ["deployment 1 has these very versions already"]);
    await desk.does(esc, ["1 Functions"]);
  });

  test("? lists every key, and goes back", async () => {
    await desk.does("?", ["Help", "run the function again", "leave hob"]);
    await desk.does("?", ["1 Functions"]);
  });

  test(": runs a command, selects a function, and says why one is not possible", async () => {
    await desk.does(":fle\r", ["Fleet  last 1 min"]);
    await desk.does(`${esc}:doub\r`, ["▸ double"]);
    await desk.does(":cancel\r", ["cancel: no running call is selected"]);
  });

  test("/ in Functions and in Runs shows what contains the text", async () => {
    await desk.does("1/gre\r", ["1 Functions  /gre", "▸ greet"], ["  shape "]);
    await desk.does(esc, ["  shape "]);
    await desk.does("3/chatty\r", ["3 Runs  1"]);
    await desk.does(esc, ["3 Runs  2"]);
  });

  test("j k g G move in Functions, tab and numbers move between the panes", async () => {
    await desk.does("1g", ["▸ greet"]);
    await desk.does("jj", ["▸ slow"]);
    await desk.does("kG", ["▸ double"]);
    await desk.does(`g${tab}${tab}j`, ["▸#1 "]);
    await desk.does(`4${enter}`, ["Fleet  last"]);
    await desk.does(esc, ["1 Functions"]);
    await desk.does(`1\x1b[Z${enter}`, ["Fleet  last"]); // shift-tab: the pane before the first is the last
    await desk.does("1", ["1 Functions"]);
  });

  test("y copies the result to the terminal's clipboard", async () => {
    await desk.does("1gy", ["copied the result of #1 (13 B)"]);
  });

  test("o shows output and result in the pager, and the screen comes back", async () => {
    await desk.does("o", ["args: ", "run-1.txt", "greeting world", "press enter"]);
    await desk.does(enter, ["1 Functions", "q quit"]);
  });

  test("e opens the editor at the function's line, and the screen comes back", async () => {
    await desk.does("e", ["args: +8 ", "app.py", "press enter"]);
    await desk.does(enter, ["1 Functions", "q quit"]);
  });

  test("s is a shell in a container of the function, whose end brings the screen back", async () => {
    await desk.does("s", ["a shell for desk/greet"]);
    await desk.does("echo in-$((40 + 2)); exit\r", ["1 Functions", "q quit"]);
  });

  test("a terminal that is too small says so, and every size is whole again", async () => {
    await desk.resize(60, 15);
    await desk.does("", ["too small"]);
    for (const [columns, rows] of [
      [80, 24],
      [200, 50],
      [140, 40],
    ] as const) {
      await desk.resize(columns, rows);
      await desk.waitFor(`${columns}×${rows}`, (text) => {
        const lines = text.split("\n");
        return lines[1]?.length === columns && lines[1].includes("1 Functions") && Boolean(lines.at(-1)?.endsWith("q quit"));
      });
    }
  });

  test("D, =, K, b and + have nothing to do or say why, and q leaves the terminal as it was", async () => {
    await desk.does(":slow\r", ["▸ slow"]);
    await desk.does("K", ["K keep input: nothing has run yet"]);
    await desk.does("=", ["= compare: nothing has run yet"]);
    await desk.does("b", ["b browse: the function is no endpoint"]);
    await desk.leave();
  });

  test("without colours and in plain ASCII nothing is lost", async () => {
    const config = join(place.state, "../config/hob");
    mkdirSync(config, { recursive: true });
    writeFileSync(join(config, "config.jsonc"), '{ "glyphs": "ascii", "colours": "never" }');
    using _ = { [Symbol.dispose]: () => rmSync(config, { recursive: true }) };
    await using plain = sitDown(place);
    await plain.does("", ["+ 1 Functions", "greet", "* live"]);
    expect(plain.text()).toMatch(/^[\x20-\x7e·\n]*$/);
    await plain.does("F", ["Containers"]);
    await plain.leave();
  });

  test("an empty folder: P makes a project in Python that runs; T one in TypeScript", async () => {
    for (const [key, file, sample] of [
      ["P", "app.py", "greet"],
      ["T", "app.ts", "greet"],
    ] as const) {
      const folder = join(place.state, "..", `new-${key.toLowerCase()}`);
      mkdirSync(folder);
      await using first = sitDown({ ...place, project: folder });
      await first.does("", ["This folder is empty", "P  Python: app.py", "T  TypeScript: app.ts", "● live"]);
      await first.does(key, [sample, `made ${file}`], ["This folder is empty"]);
      await first.does("r", ['→ "hello world"', "greeting world"]);
      expect(readFileSync(join(folder, file), "utf8")).toContain(`new-${key.toLowerCase()}`);
      await first.does(key, ["this is for an empty folder"]);
      await first.leave();
    }
  });

  test("a project without functions says how one looks", async () => {
    const folder = join(place.state, "..", "notes");
    mkdirSync(folder);
    writeFileSync(join(folder, "notes.txt"), "nothing yet");
    await using notes = sitDown({ ...place, project: folder });
    await notes.does("", ["@app.function()", "no functions in this project yet"], ["This folder is empty"]);
    await notes.leave();
  });
});
