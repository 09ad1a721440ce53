// The screen in a real terminal: every key.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildStage, openWorked, removeStage, type Stage, type StageOptions } from "./terminal.ts";

let stage = "";
beforeAll(async () => {
  stage = await buildStage();
});
afterAll(removeStage);

const openWorking = (options: Partial<StageOptions> = {}): Promise<Stage> => openWorked(stage, options);

const esc = "\x1b";
const has =
  (...parts: string[]) =>
  (text: string) =>
    parts.every((part) => text.includes(part));
const lacks = (part: string) => (text: string) => !text.includes(part);

describe("keys", () => {
  test("j k g G move the selection, and the run follows it", async () => {
    using shown = await openWorking();
    shown.press("j");
    await shown.until("the second function's run", has("▸ Model.predict", "Run #40"));
    shown.press("jjj");
    await shown.until("the last function", has("▸ resize"));
    shown.press("g");
    await shown.until("the first function", has("▸ embed", "Run #42"));
    shown.press("G");
    await shown.until("the last function again", has("▸ resize"));
    shown.press(`${esc}[A`);
    await shown.until("one up", has("▸ hello", "R"));
  });

  test("r runs with the last input, c cancels that call", async () => {
    using shown = await openWorking();
    shown.press("r");
    await shown.until("the running call", has("Run #43", "● running"));
    expect(shown.asked()).toEqual([["call", "images", "embed", ["cat.png"], {}, "key"]]);
    shown.press("c");
    await shown.until("its end", has("#43 –"));
    expect(shown.asked()[1]).toEqual(["cancel", "000000000000002b"]);
  });

  test("r opens the input where arguments are needed and none are known", async () => {
    using shown = await openWorking();
    shown.press("Gr");
    await shown.until("the editor", has("Run with…", "resize(path: string, width = …)", "enter run"));
    expect(shown.asked()).toEqual([]);
  });

  test("R edits the input: what is not JSON is not sent, what the workbench refuses stays open", async () => {
    using shown = await openWorking();
    shown.press("R");
    await shown.until("the editor", has('["cat.png"', "embed(path: str) → list[float]"));
    shown.press("x\r");
    await shown.until("the complaint", has("✗ not sent:", "JSON"));
    expect(shown.asked()).toEqual([]);
    shown.press("\x7f, 1, 2, 3\r");
    await shown.until("the refusal", has("embed takes at most 3 arguments, not 4"));
    shown.press("\x15\x0b");
    await shown.until("an empty line", lacks("cat.png"));
    shown.press('{"path": "dog.png"}\r');
    await shown.until("the call", has("Run #43"));
    expect(shown.asked().at(-1)).toEqual(["call", "images", "embed", [], { path: "dog.png" }, "key"]);
    // The refused input is not history; the accepted one is the last input.
    shown.press("R");
    await shown.until("the last input", has('{"path":"dog.png"'));
    shown.press(esc);
    await shown.until("the run again", lacks("Run with…"));
  });

  test("tab completes a parameter's name, and what is typed is checked at once", async () => {
    using shown = await openWorking();
    shown.press("R\x15\x0b\t");
    await shown.until("the name", has('{"path": ', "tab complete", "✗ expected a value"));
    shown.press('"a"');
    await shown.until("that it fits", has('{"path": "a"', "✓ fits"));
    shown.press(', "x"');
    await shown.until("what is missing", has("✗ expected : after the name"));
    shown.press(": 1");
    await shown.until("that there is no such parameter", has("✗ it has no parameter x"));
  });

  test(": finds commands and functions by some of their letters, and does them", async () => {
    using shown = await openWorking();
    shown.press(":");
    await shown.until("the palette", has("Commands  ", "run the function again"));
    shown.press("mpr");
    await shown.until("the function first", has("▸ Model.predict"));
    shown.press("\r");
    await shown.until("it selected", (text) => has("▸ Model.predict", "Run #40")(text) && lacks("Commands  ")(text));
    shown.press(":fleet\r");
    await shown.until("the fleet in full", has("Containers  5"));
    shown.press(`:cancel\r`);
    await shown.until("why not", has("cancel: no running call is selected"));
    shown.press(":x");
    await shown.until("the palette again", has(" : x"));
    shown.press(esc);
    await shown.until("the fleet", lacks(" : x"));
  });

  test("pasted text goes into the input as text", async () => {
    using shown = await openWorking();
    shown.press("R\x15\x0b");
    await shown.until("an empty line", lacks("cat.png"));
    shown.press(`${esc}[200~["a\nq"]${esc}[201~`);
    await shown.until("the paste", has('["a q"]'));
  });

  test("p pins and unpins", async () => {
    using shown = await openWorking();
    shown.press("p");
    await shown.until("an answer", () => shown.asked().length === 1);
    expect(shown.asked()[0]).toEqual(["unpin", "images", "embed"]);
    shown.press("jp");
    await shown.until("the second answer", has("▸ Model.predict"));
    shown.press("?");
    await shown.until("the help", has("run on every save"));
    expect(shown.asked()[1]).toEqual(["pin", "images", "Model.predict", [[1, 2, 3]], {}]);
  });

  test("space pauses and goes on, and the screen says so", async () => {
    using shown = await openWorking();
    shown.press(" ");
    await shown.until("the pause", has("‖ paused", "paused: saves wait"));
    shown.press(" ");
    await shown.until("the end of the pause", lacks("paused"));
    expect(shown.asked()).toEqual([
      ["pause", true],
      ["pause", false],
    ]);
  });

  test("/ filters the focused pane, esc shows all again", async () => {
    using shown = await openWorking();
    shown.press("/pred");
    await shown.until("the filtered list", (text) => has("/pred", "▸ Model.predict")(text) && lacks("hello  ")(text));
    shown.press("\r");
    await shown.until("the filter kept", has("1 Functions  /pred", "q quit"));
    shown.press(esc);
    await shown.until("all functions", has("▸ Model.predict", "hello  "));
    shown.press("3/bad shape\r");
    await shown.until("the failed call alone", (text) => has("#41 ✗", "3 Runs  1")(text) && lacks("#42 ✓")(text));
  });

  // Over a slow line esc and the next key are one read, which is what alt and that key send.
  test("esc and a key that comes with it are two keys; alt has a meaning where text is edited", async () => {
    using shown = await openWorking();
    shown.press("2\r");
    await shown.until("the run in full", has("Timing  save→result 18.6 ms"));
    shown.press(`${esc}3jj`);
    await shown.until("the panes, and the call that was chosen", has("3 Runs  13", "Run #40"));
    shown.press(`R\x15\x0b["a b", 1]${esc}b2`);
    await shown.until("the 2 before the last word", has('["a b", 21'));
    shown.press(`${esc}\x7f${esc}b${esc}f${esc}d`);
    await shown.until("the words that are left", has('["a b]'));
    shown.press(`${esc}?`);
    await shown.until("the help", (text) => has("run on every save")(text) && lacks("Run with…")(text));
    shown.press(`${esc}${esc}`);
    await shown.until("the panes again, no call chosen", has("1 Functions", "Run #42"));
  });

  test("1 to 4 and tab move the focus, enter opens a pane in full, esc comes back", async () => {
    using shown = await openWorking();
    shown.press("2\r");
    await shown.until("the run in full", has("Timing  save→result 18.6 ms", "container c7f3a1b2", "Result  "));
    shown.press(esc);
    await shown.until("the panes", has("1 Functions"));
    shown.press("\t\tj\r");
    await shown.until("the pool in full", has("Containers  5", "Images", "17,400 files"));
    await shown.until("blessed-contrib's donuts", has("25%", "13%"));
    shown.press("1");
    await shown.until("the panes again", has("1 Functions", "3 Runs"));
    shown.press("3jj\r");
    await shown.until("the call that was chosen", has("Run #40"));
  });

  test("a failed run in full has the traceback with source lines", async () => {
    using shown = await openWorking();
    shown.press("3j\r");
    await shown.until(
      "the traceback",
      has("ValueError: bad shape", "app.py:12  in embed", "return normalise(pixels)", "shapes.py:4"),
    );
    shown.press("i");
    await shown.until("the variables", has("      path        'cat.png'", "      dimensions  512"));
    expect(shown.asked()).toEqual([["inspect", "0000000000000029"]]);
  });

  test("f stays where it is while output goes on, and follows again", async () => {
    using shown = await openWorking({ env: { HOB_STAGE_FLOOD: "500" } });
    await shown.until("output", has("line 11"));
    shown.press("f");
    await shown.until("that there is more below", has("lines below (f follows)"));
    shown.press("f");
    await shown.until("the end again", lacks("lines below"));
  });

  test("L opens the logs of all, / filters them by expression, n goes from match to match, esc leaves", async () => {
    using shown = await openWorking({ env: { HOB_STAGE_FLOOD: "500" } });
    await shown.until("output", has("line 11"));
    shown.press("L");
    await shown.until("the logs", has("Logs  of all functions", "embed", "v level"));
    shown.press("/line 1[0-9]*7: !nothing");
    await shown.until("the filter being typed", has("expression !not @container"));
    shown.press("\r");
    await shown.until("only matches", (text) => /line \d+7:/.test(text) && !/line \d+[0-68-9]:/.test(text));
    shown.press("n");
    await shown.until("the first match among its neighbours", has("line 1007:", "line 1008:", "among all lines"));
    shown.press(esc);
    await shown.until("no filter", lacks("/line"));
    shown.press("f");
    await shown.until("the end", lacks("below (f follows)"));
    shown.press(esc);
    await shown.until("the panes", has("1 Functions"));
  });

  test("F opens the fleet in full, z looks further back", async () => {
    using shown = await openWorking();
    shown.press("F");
    await shown.until("its charts", has("Fleet  last 1 min", "−1 min", "now", "Containers  5"));
    shown.press("z");
    await shown.until("five minutes", has("last 5 min", "−5 min", "−2.5 min"));
    shown.press("F");
    await shown.until("the panes", has("1 Functions", "−5 min"));
  });

  test("w wraps long lines", async () => {
    using shown = await openWorking();
    expect(shown.text()).not.toContain("a little off");
    shown.press("w");
    await shown.until("the end of the long line", has("a little off"));
  });

  test("a run that ends while the terminal has not the focus is notified of; what is typed is no report of the focus", async () => {
    const config = mkdtempSync(join(tmpdir(), "hob-config-"));
    using _ = { [Symbol.dispose]: () => rmSync(config, { recursive: true, force: true }) };
    mkdirSync(join(config, "hob"));
    writeFileSync(join(config, "hob/config.jsonc"), '{ "notifyAfterMs": 0 }');
    using shown = await openWorking({ env: { XDG_CONFIG_HOME: config } });
    shown.press(`r${esc}[O`);
    await shown.until("the running call", has("Run #43", "● running"));
    shown.press("c");
    await shown.until("the notification", () => shown.raw().includes("\x1b]9;hob: done: #43 embed – cancelled by a person, "));
    shown.press(`${esc}[I/`);
    await shown.until("the filter", has("enter keep"));
    shown.press("[I");
    await shown.until("what was typed", has(" / [I "));
    shown.press(`${esc}${esc}q`);
    expect(await shown.exited).toBe(0);
    expect(shown.raw()).toMatch(/\x1b\[22;2t.*\x1b\]2;hob images ● embed\x1b\\.*\x1b\[23;2t/s);
  });

  test("places in tracebacks are links to the project's files", async () => {
    using shown = await openWorking();
    shown.press("3j");
    await shown.until("the link", () => /\x1b\]8;;file:\/\/[^/]+\/project\/images\/app\.py#12\x1b\\/.test(shown.raw()));
  });

  test("y copies the result through the terminal", async () => {
    using shown = await openWorking();
    shown.press("y");
    await shown.until("the notice", has("copied the result of #42 (333 B)"));
    const sent = /\x1b\]52;c;([^\x07]*)\x07/.exec(shown.raw())?.[1] ?? "";
    expect(JSON.parse(Buffer.from(sent, "base64").toString())).toHaveLength(64);
  });

  test("? shows every key, ? again goes back", async () => {
    using shown = await openWorking({ rows: 50 });
    shown.press("?");
    await shown.until("the help", has("run the function again", "leave hob", "cancelled"));
    shown.press("?");
    await shown.until("the panes", has("1 Functions"));
  });

  test("e opens the editor at the error's line, o the pager with output and result; the screen comes back whole", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hob-editor-"));
    using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
    const program = join(folder, "program");
    // What it was started with, and what is in the file that it was given; then it waits for a line, as an editor waits for its person.
    writeFileSync(
      program,
      `#!/bin/sh\necho "args: $*"; for last; do :; done; cat "$last" 2>/dev/null; echo "press enter"; read -r _`,
      { mode: 0o755 },
    );
    using shown = await openWorking({ env: { EDITOR: program, PAGER: program } });
    shown.press("3je");
    await shown.until("the editor at the traceback's line", has("args: +4 /project/images/shapes.py", "press enter"));
    expect(shown.xterm.buffer.active.type).toBe("normal");
    shown.press("\r");
    await shown.until("the screen", has("1 Functions", "Run #41"));
    expect(shown.xterm.buffer.active.type).toBe("alternate");
    shown.press("go");
    await shown.until("the pager with the run", has("args: ", "run-42.txt", "64 dimensions", "[0.12,0.98"));
    shown.press("\r");
    await shown.until("the screen again", has("1 Functions", "q quit"));
  });

  test("ctrl-z gives the terminal to the shell, fg brings the screen back", async () => {
    using shown = await openWorking();
    shown.press("\x1a");
    await shown.until("the shell's screen", () => shown.xterm.buffer.active.type === "normal");
    // As a shell does: what goes on before it has stopped stays stopped.
    await shown.until("its stop", () => /^State:\tT/m.test(readFileSync(`/proc/${shown.pid}/status`, "utf8")));
    process.kill(shown.pid, "SIGCONT");
    await shown.until("the screen", () => shown.xterm.buffer.active.type === "alternate");
    await shown.until("all of it", has("1 Functions", "q quit", "#42 ✓"));
    shown.press("j");
    await shown.until("that it listens", has("▸ Model.predict"));
  });

  test("settings hold as soon as their file has changed; one at fault is told, and those before stay", async () => {
    const config = mkdtempSync(join(tmpdir(), "hob-config-"));
    using _ = { [Symbol.dispose]: () => rmSync(config, { recursive: true, force: true }) };
    using shown = await openWorking({ env: { XDG_CONFIG_HOME: config } });
    mkdirSync(join(config, "hob"));
    writeFileSync(join(config, "hob/config.jsonc"), '{ "keys": { "fleet": "x" }, /* plain */ "glyphs": "ascii" }');
    await shown.until("plain characters", has("the settings have changed", "+ 1 Functions"));
    shown.press("x");
    await shown.until("the fleet in full", has("Containers  5"));
    writeFileSync(join(config, "hob/config.jsonc"), '{ "keys": { "fleet": "q" } }');
    await shown.until("the fault", has('"q" is bound to "fleet" and to "quit"'));
    shown.press("x");
    await shown.until("the panes", has("1 Functions"));
  });

  test("a key that is not possible now says why", async () => {
    using shown = await openWorking();
    shown.press("c");
    await shown.until("the reason", has("c cancel: no running call is selected"));
  });

  test("ctrl-c first cancels the running call, then quits", async () => {
    using shown = await openWorking();
    shown.press("r");
    await shown.until("the running call", has("● running"));
    shown.press("\x03");
    await shown.until("the hint", has("ctrl-c again quits hob"));
    expect(shown.asked().at(-1)).toEqual(["cancel", "000000000000002b"]);
    shown.press("\x03");
    expect(await shown.exited).toBe(0);
  });
});
