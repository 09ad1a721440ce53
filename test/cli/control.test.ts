// `hob control` by hand: it says where it listens, shares neither its socket nor its state, and ends in order.

import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { hob, makePlace, startHob } from "./run-hob.ts";

const listening = async (child: ChildProcess): Promise<string> => String((await once(child.stdout!, "data"))[0]);

describe("hob control", () => {
  // Installed hobs could not make an authority, so not listen on the network: in the bundle the package of certificates is its default alone.
  test("as it is installed makes a pool's keys, and those that are there stay", () => {
    using place = makePlace();
    const run = () =>
      execFileSync(process.execPath, [join(installRoot, "dist/cli/main.js"), "control", "keys", join(place.folder, "keys")], {
        encoding: "utf8",
      });
    const files = run().trim().split("\n");
    expect(files.map((file) => basename(file))).toEqual(["secrets.key", "authority.key", "authority.crt"]);
    const made = files.map((file) => readFileSync(file, "hex"));
    run();
    expect(files.map((file) => readFileSync(file, "hex"))).toEqual(made);
  });

  test("says where it listens, answers, and ends with its socket on SIGTERM", async () => {
    using place = makePlace();
    const socket = join(place.folder, "c.sock");
    const { child, said } = startHob(place, ["control", "--listen", `unix:${socket}`, "--state", "kept", "--json"]);
    expect(JSON.parse(await listening(child))).toEqual({
      kind: "listening",
      address: `unix:${socket}`,
      state: join(place.folder, "kept"),
    });
    expect(await hob(place, ["pool", "--control", socket])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("No nodes"),
    });
    const refused = await hob(place, ["pool", "stop", "--control", socket]);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringMatching(/^hob: this control was started by hand.*\n$/) });
    child.kill("SIGTERM");
    expect((await said).code).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("a socket or a state that another control uses is refused in one sentence with exit code 3", async () => {
    using place = makePlace();
    const { child, said } = startHob(place, ["control", "--socket", "c.sock", "--state", "kept"]);
    await listening(child);
    const sameSocket = await hob(place, ["control", "--socket", "c.sock", "--state", "other"]);
    expect(sameSocket.stderr).toMatch(/^hob: listening on .*c\.sock: another control answers there: .*\n$/);
    expect(sameSocket.code).toBe(3);
    const sameState = await hob(place, ["control", "--socket", "d.sock", "--state", "kept"]);
    expect(sameState.stderr).toMatch(
      new RegExp(`^hob: opening .*kept/control\\.db: a control is running on this state already \\(pid ${child.pid}\\): .*\n$`),
    );
    expect(sameState.code).toBe(3);
    child.kill("SIGTERM");
    expect((await said).code).toBe(0);
  });

  test("a state folder that cannot be made is named", async () => {
    using place = makePlace();
    writeFileSync(join(place.folder, "file"), "");
    const said = await hob(place, ["control", "--socket", "c.sock", "--state", "file/below"]);
    expect(said.stderr).toMatch(/^hob: .*file\/below.*\n$/);
    expect(said.code).toBe(3);
  });

  test("what belongs to an embedded pool cannot be chosen", async () => {
    using place = makePlace();
    const said = await hob(place, ["control", "--embedded", "--state", "kept"]);
    expect(said).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^hob: --embedded has a socket and a state of its own: .*\n$/),
    });
  });
});

describe("hob agent", () => {
  test("without a control to join is refused", async () => {
    using place = makePlace();
    const said = await hob(place, ["agent"]);
    expect(said.stderr).toMatch(process.getuid?.() === 0 ? /^hob: an agent needs a control to join: .*\n$/ : /needs root/);
    expect(said.code).toBe(process.getuid?.() === 0 ? 2 : 3);
  });
});
