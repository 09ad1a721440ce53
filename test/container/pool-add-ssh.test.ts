// ⑤ `hob pool add user@host` over a real sshd, which shows who logs in another /var and /run than the ones here.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hob, makePlace, startHob } from "../cli/run-hob.ts";
import { programs } from "../drive/requirements.ts";
import { cannotRun } from "./agent-process.ts";

process.env["PATH"] = `${process.env["PATH"]}:/usr/sbin`;

/** /var is the one here below what is written to it; what an agent keeps lies on a real file system. */
const elsewhere = `set -e
mkdir -p upper work lib cache log
mount -t overlay overlay -o lowerdir=/var,upperdir=upper,workdir=work /var
for name in lib cache log; do mkdir -p /var/$name/hob; mount --bind $name /var/$name/hob; done
mount -t tmpfs tmpfs /run
mkdir -m 0755 /run/sshd
exec /usr/sbin/sshd -D -e -f sshd_config
`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** A machine as ssh knows it by the name "workstation", where `folder` is root's authorized keys' and sshd's own. */
async function startMachine(folder: string) {
  const port = await freePort();
  for (const key of ["host", "client"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, key)]);
  const at = (name: string): string => join(folder, name);
  const server = [`Port ${port}`, "ListenAddress 127.0.0.1", `HostKey ${at("host")}`, `AuthorizedKeysFile ${at("client.pub")}`];
  writeFileSync(at("sshd_config"), [...server, "StrictModes no", "UsePAM no", `PidFile none`, ""].join("\n"));
  const client = ["Host workstation", "HostName 127.0.0.1", `Port ${port}`, "User root", `IdentityFile ${at("client")}`];
  writeFileSync(
    at("ssh_config"),
    [...client, `UserKnownHostsFile ${at("known")}`, "StrictHostKeyChecking accept-new", ""].join("\n"),
  );
  mkdirSync(at("bin"));
  writeFileSync(at("bin/ssh"), `#!/bin/sh\nPATH=/usr/bin:/bin exec ssh -F ${at("ssh_config")} "$@"\n`);
  chmodSync(at("bin/ssh"), 0o755);
  const sshd = spawn("unshare", ["--mount", "sh", "-c", elsewhere], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    sshd.stderr.on("data", (data) => {
      said += data;
      if (said.includes("Server listening")) resolve();
    });
    sshd.once("exit", () => reject(new Error(`sshd ended: ${said}`)));
  });
  return {
    path: at("bin"),
    async [Symbol.asyncDispose]() {
      sshd.removeAllListeners("exit");
      sshd.kill("SIGTERM");
      if (sshd.exitCode === null && sshd.signalCode === null) await once(sshd, "exit");
    },
  };
}

test.skipIf(cannotRun || !programs("sshd", "ssh", "ssh-keygen"))(
  "a machine is added over a real sshd, runs calls, and ends its agent when it is removed",
  { timeout: 90_000 },
  async () => {
    using place = makePlace();
    const there = mkdtempSync(join(tmpdir(), "hob-ssh-test-"));
    chmodSync(there, 0o755);
    const socket = join(place.folder, "c.sock");
    await using machine = await startMachine(there);
    Object.assign(place.environment, { PATH: `${machine.path}:${process.env["PATH"]}` });
    const control = startHob(place, ["control", "--listen", socket, "--listen", "127.0.0.1:0", "--state", "kept"]);
    try {
      await once(control.child.stdout!, "data");
      const flags = ["--control", socket, "--into", join(there, "opt", "hob"), "--name", "workstation"];
      const added = await hob(place, ["pool", "add", "workstation", ...flags]);
      expect(added.code, added.stderr).toBe(0);
      expect(added.stderr).toMatch(/^ready +node workstation takes calls$/m);
      writeFileSync(
        join(place.folder, "app.py"),
        "import hob\napp = hob.App('far')\n@app.function()\ndef double(x): return 2 * x\n",
      );
      const ran = await hob(place, ["run", "app.py::double", "[21]", "--control", socket]);
      expect(ran.stdout, ran.stderr).toContain("42");
    } finally {
      const removed = await hob(place, ["pool", "remove", "workstation", "--control", socket]);
      expect(removed.code, removed.stderr).toBe(0);
      control.child.kill("SIGTERM");
      await control.said;
      rmSync(there, { recursive: true, force: true });
    }
  },
);
