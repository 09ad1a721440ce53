// ⑤ Whether this node can give containers a network, and the program that loads its rules.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import { type Region, regionsOf } from "./addresses.ts";
import { rules } from "./rules.ts";

/** Runs `nft` on these rules; rejects with its first complaint. `before` is a command that runs the rest of its line. */
async function runNft(script: string, before: string[] = []): Promise<void> {
  const [file = "", ...args] = [...before, "nft", "-f", "-"];
  const child = spawn(file, args, { stdio: ["pipe", "ignore", "pipe"] });
  const complaint = text(child.stderr);
  child.stdin.on("error", () => {}); // it ended early, and says why
  child.stdin.end(script);
  try {
    const [code] = await once(child, "close");
    if (code === 0) return;
  } catch (error) {
    throw systemError("starting nft", error);
  }
  throw new HobError("unavailable", `nft: ${(await complaint).split("\n")[0] || "it failed"}`);
}

export const loadRules = (script: string): Promise<void> => runNft(script);

/** That there is none is not an error. */
export async function deleteTable(name: string): Promise<void> {
  await runNft(`table inet ${name}\ndelete table inet ${name}\n`);
}

/** The tables whose names begin so; none where there is no nft. */
export async function tablesBelow(prefix: string): Promise<string[]> {
  const child = spawn("nft", ["list", "tables", "inet"], { stdio: ["ignore", "pipe", "ignore"] });
  const end = once(child, "close").catch((error) => {
    if (errnoOf(error) !== "ENOENT") throw systemError("starting nft", error);
  });
  const [said] = await Promise.all([text(child.stdout), end]);
  return [...said.matchAll(/^table inet (\S+)/gm)].map((match) => match[1] ?? "").filter((name) => name.startsWith(prefix));
}

/** Tries a pool's rules in a network namespace that ends with the try. Says what is in the way; undefined when nothing is. */
export async function networkObstacle(): Promise<HobError | undefined> {
  const [region] = regionsOf("0") as [Region];
  const script = rules({ key: "trial", region, uplinks: ["eth0"], neighbours: [], ownForwarding: true });
  try {
    await runNft(script, ["unshare", "--net"]);
    return undefined;
  } catch (error) {
    const said = error instanceof HobError ? error.message : String(error);
    const absent = /failed to execute nft|ENOENT/.test(said);
    return new HobError("unavailable", absent ? "nft is not in PATH" : said, {
      remedy: absent ? "install the package nftables" : "it takes root and a kernel with nftables (nft_fib, nft_masq)",
    });
  }
}
