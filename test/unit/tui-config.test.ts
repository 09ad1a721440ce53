// The person's settings: what is read, what is refused and how that is said, and that the published schema is the one that holds.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { plainJson } from "../../base/jsonc.ts";
import { configSchema, defaultConfig, parseConfig } from "../../tui/config.ts";
import { bindingOf, keysNow } from "../../tui/keys.ts";
import { initialState } from "../../tui/model/state.ts";
import { update } from "../../tui/model/update.ts";
import { choosePalette } from "../../tui/screen/palette.ts";
import { canShowScreen } from "../../tui/terminal/capable.ts";

const file = "config.jsonc";

describe("the file", () => {
  test("has comments and trailing commas, and says only what differs", () => {
    const text = `{
  // my keys: "run": "x",
  "keys": { "run": "x", "logs": ["l", "ctrl-l"], }, /* a
  comment */ "rates": { "chartsMs": 500 },
  "accent": "magenta", // "http://not.a/comment"
}`;
    expect(plainJson(text)).toHaveLength(text.length);
    expect(parseConfig(text, file)).toEqual({
      ...defaultConfig,
      accent: "magenta",
      rates: { outputMs: 100, chartsMs: 500 },
      keys: { run: ["x"], logs: ["l", "ctrl-l"] },
    });
    expect(parseConfig("{}", file)).toEqual(defaultConfig);
  });

  test.each([
    ['{\n  "colour": "never"\n}', "config.jsonc:2:3: colour is not a setting; there are pool, colours"],
    ['{"accent": "puce"}', 'config.jsonc:1:2: accent must be one of "cyan"'],
    ['{"rates": {"outputMs": 5}}', "config.jsonc:1:12: rates.outputMs must be a number from 16 to 5000"],
    ['{"keys": {"fly": "f"}}', "keys.fly is not a setting"],
    ['{"keys": {"run": ["p"]}}', 'config.jsonc: key "p" is bound to "run" and to "pin"'],
    ['{"keys": {"run": "q", "quit": "r"}}', undefined],
    ["[]", "the file must be an object"],
    ['{\n  "accent" "cyan"\n}', "config.jsonc:2:12: Expected ':' after property name"],
  ])("%s", (text, refusal) => {
    if (refusal === undefined) expect(() => parseConfig(text, file)).not.toThrow();
    else expect(() => parseConfig(text, file)).toThrow(refusal);
  });

  test("the published schema names every setting and every action", () => {
    const published = join(installRoot, "docs/config.schema.json");
    if (process.env["HOB_WRITE_SCHEMA"]) writeFileSync(published, `${JSON.stringify(configSchema(), undefined, 2)}\n`);
    expect(JSON.parse(readFileSync(published, "utf8"))).toEqual(JSON.parse(JSON.stringify(configSchema())));
  });
});

describe("what is set", () => {
  test("keys do what they are set to do, and are shown so", () => {
    const config = parseConfig('{"keys": {"help": ["h"]}}', file);
    const state = update(initialState({ pool: "p", build: "b", columns: 120, rows: 36, nowMs: 0 }), {
      kind: "config",
      config,
    }).state;
    expect(update(state, { kind: "key", key: "h", nowMs: 0 }).state.view).toBe("help");
    expect(update(state, { kind: "key", key: "?", nowMs: 0 }).state.view).toBe("main");
    expect(bindingOf(state, "h")?.name).toBe("help");
    expect(keysNow(state).find(({ name }) => name === "help")?.keys).toEqual(["h"]);
  });

  test("colours of the file win over the environment's, which win over the terminal's", () => {
    const chosen = (colours: "auto" | "always" | "never", env: Record<string, string>) =>
      choosePalette(env, { ...defaultConfig, colours }).colours;
    expect(chosen("auto", { NO_COLOR: "1" })).toBe(false);
    expect(chosen("always", { NO_COLOR: "1" })).toBe(true);
    expect(chosen("never", { FORCE_COLOR: "1" })).toBe(false);
    expect(choosePalette({ TERM: "xterm" }, { ...defaultConfig, glyphs: "ascii" }).ascii).toBe(true);
  });

  test("what the terminal cannot show is not tried: glyphs beyond its encoding, text in places where there are only lines", () => {
    const ascii = (env: Record<string, string>): boolean => choosePalette({ TERM: "xterm", ...env }, defaultConfig).ascii;
    expect([{}, { LANG: "C" }, { LANG: "de_DE.UTF-8" }, { LC_ALL: "C.utf8", LANG: "de_DE.ISO-8859-1" }].map(ascii)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([{ LANG: "de_DE.ISO-8859-1@euro" }, { LC_CTYPE: "ru_RU.KOI8-R", LANG: "C.UTF-8" }].map(ascii)).toEqual([true, true]);
    const on = (env: Record<string, string>): boolean => {
      const terminal = { isTTY: true } as NodeJS.ReadStream & { fd: 0 };
      return canShowScreen({ stdin: terminal, stdout: terminal as unknown as NodeJS.WriteStream & { fd: 1 }, env });
    };
    expect([{ TERM: "screen" }, { TERM: "dumb" }, { TERM: "dumb", INK_SCREEN_READER: "true" }].map(on)).toEqual([
      true,
      false,
      true,
    ]);
  });
});
