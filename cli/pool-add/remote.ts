// ⑤ A machine over ssh: one connection for all commands, kept by ssh itself; what asks for a password asks in this terminal.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { HobError, systemError } from "../../base/errors.ts";

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Remote extends Disposable {
  /** Runs a line of shell there; `input` is its stdin. */
  run(script: string, input?: string | Readable): Promise<Answer>;
}

/** ssh's own failures: no route, no key, a changed host key. */
const sshFailed = 255;

export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export function openRemote(target: string): Remote {
  const folder = mkdtempSync(join(tmpdir(), "hob-ssh-"));
  const shared = ["-o", "ControlMaster=auto", "-o", `ControlPath=${folder}/c`, "-o", "ControlPersist=60"];

  function start(args: string[]): ChildProcess {
    return spawn("ssh", [...shared, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  }

  return {
    async run(script, input) {
      const child = start([target, script]);
      const { stdin, stdout, stderr } = child;
      stdin!.on("error", () => {}); // it ended without reading: its exit code says why
      if (input === undefined || typeof input === "string") stdin!.end(input ?? "");
      else input.pipe(stdin!);
      try {
        const [[code], out, err] = await Promise.all([once(child, "close"), text(stdout!), text(stderr!)]);
        if (code !== sshFailed) return { code: (code as number | null) ?? 1, stdout: out, stderr: err };
        throw new HobError("unavailable", `ssh ${target}: ${err.trim().split("\n").at(-1) || "it failed"}`, {
          remedy: `see that \`ssh ${target} true\` works`,
        });
      } catch (error) {
        throw systemError(`running ssh ${target}`, error, "install an ssh client");
      }
    },
    [Symbol.dispose]() {
      const end = start(["-O", "exit", target]);
      end.on("error", () => {}).on("close", () => rmSync(folder, { recursive: true, force: true }));
    },
  };
}
