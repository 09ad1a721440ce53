// ⑤ How an agent is started: the same command line, in a mount namespace of its own, so that its mounts end with it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { systemError } from "../base/errors.ts";
import { entryFile } from "../base/install.ts";

const unshare = ["unshare", "--mount", "--propagation", "private", "--"];

const command = (args: string[]): string[] => [...unshare, process.execPath, ...process.execArgv, entryFile("cli/main"), ...args];

/** For the control of this installation's own pool. */
export const embeddedAgent = (): string[] => command(["agent", "--embedded"]);

/** Runs this command line again in a mount namespace of its own, in the foreground; resolves with its exit code. */
export async function inOwnMounts(args: string[]): Promise<number> {
  const [file = "", ...rest] = command(args);
  const child = spawn(file, rest, { stdio: "inherit" });
  // ctrl-c reaches both; what reaches only this process is passed on. It ends when its child has ended, in order.
  const passOn = (name: NodeJS.Signals): void => void child.kill(name);
  const ignore = (): void => {};
  const passed = ["SIGTERM", "SIGHUP", "SIGUSR2"] as const;
  for (const name of passed) process.on(name, passOn);
  process.on("SIGINT", ignore);
  try {
    const [code] = await once(child, "exit");
    return typeof code === "number" ? code : 3;
  } catch (error) {
    throw systemError("starting the agent", error);
  } finally {
    for (const name of passed) process.off(name, passOn);
    process.off("SIGINT", ignore);
  }
}
