// Wrong commands, arguments and projects: one sentence on stderr, exit code 2, nothing started.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hob, makePlace } from "./run-hob.ts";

const commands = [
  "dev",
  "replay",
  "demo",
  "info",
  "completion",
  "run",
  "call",
  "ps",
  "calls",
  "logs",
  "pool",
  "images",
  "secrets",
  "doctor",
  "control",
  "agent",
];

describe("help", () => {
  test.each(commands)("hob %s --help shows an example and exits 0", async (command) => {
    using place = makePlace();
    const said = await hob(place, [command, "--help"]);
    expect(said).toMatchObject({ code: 0, stderr: "" });
    expect(said.stdout).toMatch(new RegExp(`Examples?:\n +hob ${command}`));
  });

  test.each(["build", "import", "ls", "show", "diff", "rm", "gc"])("hob images %s --help shows an example", async (command) => {
    using place = makePlace();
    const said = await hob(place, ["images", command, "--help"]);
    expect(said.stdout).toMatch(new RegExp(`Example:\n +hob images ${command}`));
  });

  test("hob --help names every command and the exit codes", async () => {
    using place = makePlace();
    const { stdout, code } = await hob(place, ["--help"]);
    expect(code).toBe(0);
    for (const command of commands) expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain("Exit codes: 0 done, 1 your function failed, 2 usage");
  });
});

describe("a wrong command line", () => {
  test.each<[string, string[], RegExp]>([
    ["an unknown command", ["rnu"], /^hob: unknown command 'rnu'\n\(Did you mean run\?\)\n$/],
    ["an unknown option", ["ps", "--jsn"], /^hob: unknown option '--jsn'/],
    ["a missing argument", ["run"], /^hob: missing required argument/],
    ["two kinds of output", ["dev", ".", "--plain", "--json"], /^hob: --plain and --json .*\n$/],
    ["arguments without a pin", ["dev", ".", "--args", "[1]"], /^hob: --args .*--pin.*\n$/],
    [
      "--args that is no JSON",
      ["dev", ".", "--pin", "f", "--args", "[1, x]"],
      /^hob: --args is not JSON: unexpected "x" at character 5\n +\[1, x\]\n +\^\n$/,
    ],
    ["arguments that are no array", ["run", "app.py::f", "3"], /^hob: the arguments must be a JSON array.*write \[3\]\n$/],
    ["keywords that are no object", ["run", "app.py::f", "--kwargs", "[1]"], /^hob: --kwargs must be a JSON object.*\n$/],
    ["a file without a function's name", ["run", "app.py::"], /^hob: "app.py::" names no function of a file: .*\n$/],
    ["a project folder that does not exist", ["dev", "nowhere"], /^hob: there is no folder nowhere: .*\n$/],
    ["a project that is a file", ["dev", "app.py"], /^hob: app.py is a file: .*hob run app.py::NAME.*\n$/],
    ["a file that does not exist", ["run", "none.py::f"], /^hob: there is no file none.py\n$/],
    [
      "an address that is none",
      ["ps", "--control", "localhost"],
      /^hob: "localhost" is not the address of a control: .*unix:PATH.*\n$/,
    ],
    ["a moment that is none", ["logs", "--since", "soon"], /^hob: --since "soon" is no time: .*\n$/],
    ["a count that is none", ["calls", "--limit", "many"], /^hob: option '--limit <n>' argument 'many' is invalid/],
    ["a linger time that is none", ["dev", ".", "--linger", "long"], /^hob: --linger "long" is no number of seconds: .*\n$/],
    ["an image without a name", ["images", "build", "app.py"], /^hob: "app.py" names no image of a file: write FILE::IMAGE.*\n$/],
    [
      "an image that is none",
      ["images", "build", "app.py::none"],
      /^hob: app.py has no image "none": .*: write for example.*\n$/,
    ],
    ["an app where a function is to be called", ["call", "shop"], /^hob: "shop" names an app and no function: .*\n$/],
    ["a state that is none", ["calls", "--state", "faild"], /^hob: there is no state "faild": did you mean "failed"\?\n$/],
    ["a result of many calls", ["calls", "shop", "--result"], /^hob: --result is of one call: .*\n$/],
    ["two functions at once", ["logs", "a/b", "--function", "c"], /^hob: --function c does not go with the target: .*\n$/],
    ["a limit that is none", ["control", "--limit", "session=3"], /there is no limit "session": did you mean "sessions"\?/],
    ["a target that is none", ["logs", "a/b/c"], /^hob: "a\/b\/c" is no app and no function: .*\n$/],
  ])("with %s exits 2 with one sentence", async (_, args, sentence) => {
    using place = makePlace();
    writeFileSync(join(place.folder, "app.py"), "");
    const said = await hob(place, args);
    expect(said.stderr).toMatch(sentence);
    expect(said).toMatchObject({ code: 2, stdout: "" });
    expect(existsSync(join(place.folder, "run"))).toBe(false);
  });
});

describe("without a pool", () => {
  test.each([["ps"], ["calls"], ["call", "shop/price"], ["logs"], ["pool"], ["images"]])(
    "hob %s says so, how to get one, and exits 3",
    async (...command) => {
      using place = makePlace();
      const said = await hob(place, command);
      expect(said.stderr).toMatch(/^hob: no pool is running: `hob dev` starts one.*\n$/);
      expect(said).toMatchObject({ code: 3, stdout: "" });
    },
  );

  test("a control that is named and does not answer is named in the sentence", async () => {
    using place = makePlace();
    const said = await hob(place, ["ps", "--control", "unix:nothing.sock"]);
    expect(said.stderr).toContain(`no control answers at ${join(place.folder, "nothing.sock")}: start it with`);
    expect(said.code).toBe(3);
  });

  test("stopping it is no error", async () => {
    using place = makePlace();
    expect(await hob(place, ["pool", "stop"])).toEqual({ code: 0, stdout: "No pool was running.\n", stderr: "" });
  });
});
