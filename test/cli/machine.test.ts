// Machines on which no pool can start: one sentence with a remedy, exit code 3, nothing left behind.

import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hob, makePlace, type Place } from "./run-hob.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stderr.write("skipped: dropping privileges and mounting need root\n");

const source = "import hob\napp = hob.App('a')\n@app.function()\ndef hello():\n    return 1\n";

function withProject(): Place & { file: string } {
  const place = makePlace();
  const file = join(place.folder, "app.py");
  writeFileSync(file, source);
  return { ...place, file };
}

/** Runs the rest of the line in a mount namespace that `script` has prepared; its mounts end with it. */
const inNamespace = (script: string): string[] => [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  `${script} && exec "$@"`,
  "sh",
];

describe.skipIf(!isRoot)("a machine", () => {
  test.each([["run"], ["dev"]])("without root: hob %s names sudo", async (command) => {
    using place = withProject();
    chmodSync(place.folder, 0o777);
    const target = command === "run" ? `${place.file}::hello` : place.folder;
    const said = await hob(place, [command, target], ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    expect(said.stderr).toBe(
      "hob: a pool cannot start here: mounting images and running containers needs root: run the same command with sudo\n",
    );
    expect(said).toMatchObject({ code: 3, stdout: "" });
    expect(readdirSync(place.folder)).toEqual(["app.py"]);
  });

  test("without runc: names the package", async () => {
    using place = withProject();
    const programs = join(place.folder, "bin");
    mkdirSync(programs);
    symlinkSync("/usr/bin/unshare", join(programs, "unshare"));
    place.environment["PATH"] = programs;
    const said = await hob(place, ["run", `${place.file}::hello`]);
    expect(said.stderr).toMatch(/^hob: a pool cannot start here: runc is not in PATH: install .*runc.*\n$/);
    expect(said.code).toBe(3);
  });

  test("without /dev/fuse: says how to get it", async () => {
    using place = withProject();
    const emptyDevices = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9";
    const said = await hob(place, ["run", `${place.file}::hello`], inNamespace(emptyDevices));
    expect(said.stderr).toMatch(/^hob: a pool cannot start here: \/dev\/fuse is missing: load it with `modprobe fuse`.*\n$/);
    expect(said.code).toBe(3);
  });

  test("with a full disk: names the folder and how to move it", async () => {
    using place = withProject();
    const full = join(place.folder, "full");
    mkdirSync(full);
    place.environment["XDG_STATE_HOME"] = full;
    const said = await hob(place, ["run", `${place.file}::hello`], inNamespace(`mount -t tmpfs -o nr_inodes=1 none ${full}`));
    expect(said.stderr).toMatch(/^hob: making .*full.*: the disk is full: .*XDG_STATE_HOME.*\n$/);
    expect(said.code).toBe(3);
    expect(existsSync(join(place.folder, "run", "control.sock"))).toBe(false);
  });
});

describe("hob doctor", () => {
  test("says for each check what was found, and exits 3 exactly where something needed is missing", async () => {
    using place = makePlace();
    const said = await hob(place, ["doctor", "--json"]);
    const rows = said.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
    const checks = rows.map(({ check }) => check);
    for (const check of [
      "kernel",
      "fuse",
      "overlay",
      "userns",
      "cgroups",
      "runc",
      "node",
      "python",
      "disk-cache",
      "gpu",
      "leftovers",
    ]) {
      expect(checks).toContain(check);
    }
    for (const row of rows) {
      expect(row["found"]).toBeTruthy();
      if (row["state"] !== "ok") expect(row["remedy"], row["check"]).toBeTruthy();
    }
    expect(said.code).toBe(rows.some(({ state }) => state === "missing") ? 3 : 0);
    expect(said.stderr).toBe("");
  });

  test("without runc in PATH marks it and exits 3", async () => {
    using place = makePlace();
    place.environment["PATH"] = place.folder;
    const said = await hob(place, ["doctor"]);
    expect(said.stdout).toMatch(/✗ runc +not in PATH: containers cannot start\n +→ install/);
    expect(said.code).toBe(3);
  });
});
