// ⑤ `hob pool add user@host`, with programs in the place of ssh and systemctl that do here what they would do there, below a folder of their own.

import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hob, makePlace, startHob } from "../cli/run-hob.ts";
import { cannotRun } from "./agent-process.ts";

/** The last argument is a line of shell; what it says of the machine's folders is meant below $THERE. */
const ssh = `#!/bin/sh
for line; do :; done
case "$*" in *"-O exit"*) exit 0;; esac
if [ -e "$THERE/unreachable" ]; then echo "ssh: connect to host workstation port 22: No route to host" >&2; exit 255; fi
printf '%s\\n' "$line" >> "$THERE/asked"
exec sh -c "$(printf %s "$line" | sed "s#/var/#$THERE/var/#g; s#/etc/#$THERE/etc/#g; s#/run/systemd#$THERE/run/systemd#g; s#uname -n#echo workstation#")"
`;
/** Starts what the unit says, with what it says. */
const systemctl = `#!/bin/sh
[ "$1" = restart ] || exit 0
unit="$THERE/etc/systemd/system/$2"
set -a; . "$THERE/etc/hob/node.env"; HOB_RUN_DIR="$THERE/run"; eval "$(sed -n 's/^Environment=//p' "$unit")"
command=$(sed -n 's/^ExecStart=//p' "$unit")
eval "setsid $command </dev/null >$THERE/agent.log 2>&1 & echo \\$! >$THERE/agent.pid"
`;

describe.skipIf(cannotRun)("hob pool add", () => {
  const place = makePlace();
  const there = mkdtempSync("/run/hob-test-");
  const socket = join(place.folder, "c.sock");
  let control: ReturnType<typeof startHob>;

  beforeAll(async () => {
    chmodSync(there, 0o755);
    for (const folder of ["bin", "run/systemd/system", "etc/systemd/system", "var/lib", "var/cache"])
      mkdirSync(join(there, folder), { recursive: true });
    for (const [name, script] of Object.entries({ ssh, systemctl })) {
      writeFileSync(join(there, "bin", name), script);
      chmodSync(join(there, "bin", name), 0o755);
    }
    Object.assign(place.environment, { PATH: `${join(there, "bin")}:${process.env["PATH"]}`, THERE: there, HOB_UPLINK: "none" });
    control = startHob(place, ["control", "--listen", socket, "--listen", "127.0.0.1:0", "--state", "kept"]);
    await once(control.child.stdout!, "data");
  }, 20_000);
  afterAll(async () => {
    if (existsSync(join(there, "agent.pid"))) process.kill(Number(readFileSync(join(there, "agent.pid"), "utf8")), "SIGTERM");
    control.child.kill("SIGTERM");
    await control.said;
    rmSync(there, { recursive: true, force: true });
    place[Symbol.dispose]();
  });

  test("a machine that cannot be reached is named, with what to try", async () => {
    writeFileSync(join(there, "unreachable"), "");
    const said = await hob(place, ["pool", "add", "root@workstation", "--control", socket]);
    expect(said).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(
        /^hob: ssh root@workstation: .*No route to host: see that `ssh root@workstation true` works\n$/,
      ),
    });
    rmSync(join(there, "unreachable"));
  });

  test("a machine is reached, given this hob, looked at, joined and started, and takes calls; its token is in no command line", async () => {
    const into = join(there, "opt/hob");
    mkdirSync(join(there, "opt"));
    const said = await hob(place, ["pool", "add", "root@workstation", "--control", socket, "--into", into]);
    expect(said.stderr.split("\n").map((line) => line.slice(0, 8).trim())).toEqual([
      "reach",
      "copy",
      "check",
      "join",
      "start",
      "ready",
      "",
    ]);
    expect(said.code, said.stderr).toBe(0);
    expect(readFileSync(join(there, "asked"), "utf8")).not.toMatch(/hob_[0-9a-f]{8}_/);
    expect(readFileSync(join(there, "etc/systemd/system/hob-node.service"), "utf8")).toContain(
      `ExecStart=${into}/bin/hob agent --control`,
    );
    const [, node] = (await hob(place, ["pool", "--control", socket, "--json"])).stdout.split("\n");
    expect(JSON.parse(node!)).toMatchObject({ name: "workstation", cordoned: false });
    const removed = await hob(place, ["pool", "remove", "workstation", "--control", socket]);
    expect(removed.code).toBe(0);
    const pid = Number(readFileSync(join(there, "agent.pid"), "utf8"));
    const limit = Date.now() + 15_000;
    while (existsSync(`/proc/${pid}`) && Date.now() < limit) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    rmSync(join(there, "agent.pid"));
  }, 60_000);
});
