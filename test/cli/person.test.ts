// What is the person's own: completion in their shell, what hob info says of this machine, the pool of their settings.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hob, makePlace } from "./run-hob.ts";

describe("hob completion", () => {
  test("in bash completes commands, commands of commands, and options", async () => {
    using place = makePlace();
    const { stdout } = await hob(place, ["completion", "bash"]);
    const complete = (...words: string[]): string[] => {
      const typed = words.map((word) => `'${word}'`).join(" ");
      const script = `${stdout}\nCOMP_WORDS=(hob ${typed}); COMP_CWORD=${words.length}; _hob; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split("\n");
    };
    expect(complete("im")).toEqual(["images"]);
    expect(complete("images", "i")).toEqual(["import"]);
    expect(complete("replay", "--s")).toEqual(["--speed", "--step"]);
    expect(complete("dev", "--rec")).toEqual(["--record"]);
  });

  test("has scripts for zsh and fish, and no other shell", async () => {
    using place = makePlace();
    expect((await hob(place, ["completion", "zsh"])).stdout).toMatch(/^#compdef hob\n[\s\S]*'images:/);
    expect((await hob(place, ["completion", "fish"])).stdout).toContain(
      "complete -c hob -n '__fish_use_subcommand' -a images -d ",
    );
    expect(await hob(place, ["completion", "tcsh"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("write bash, zsh or fish"),
    });
  });
});

test("hob info names versions and paths, and which of them are there", async () => {
  using place = makePlace();
  const told = JSON.parse((await hob(place, ["info", "--json"])).stdout);
  expect(told.versions.node).toMatch(/^v\d+/);
  expect(told.paths).toContainEqual({ name: "settings", path: join(place.folder, "config/hob/config.jsonc"), exists: false });
  expect((await hob(place, ["info"])).stdout).toMatch(/settings +\S+config\.jsonc +not there yet/);
});

test("a pool of the settings is the one that commands speak to; settings at fault are refused with their place", async () => {
  using place = makePlace();
  const folder = join(place.folder, "config/hob");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "config.jsonc");
  writeFileSync(file, '{ "pool": "unix:/nowhere/control.sock" } // mine');
  expect(await hob(place, ["ps"])).toMatchObject({ code: 3, stderr: expect.stringContaining("/nowhere/control.sock") });
  writeFileSync(file, '{ "pol": 1 }');
  expect(await hob(place, ["ps"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("config.jsonc:1:3: pol is not a setting"),
  });
});
