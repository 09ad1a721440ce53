// ⑤ What pools of one machine must not share: a table's name and a region of addresses. An abstract unix socket each, which ends with its
// holder, whatever kills that; such names belong to the network namespace, as tables and addresses do.

import { createServer } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import type { Region } from "./addresses.ts";
import { tableName } from "./rules.ts";

export interface Claim extends AsyncDisposable {}

/** Undefined when somebody holds it. */
function claim(name: string): Promise<Claim | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE") resolve(undefined);
      else reject(systemError("claiming a part of this machine's network", error));
    });
    server.listen(`\0hob-network-${name}`, () =>
      resolve({ [Symbol.asyncDispose]: () => new Promise((closed) => server.close(() => closed())) }),
    );
  });
}

export const claimTable = (key: string): Promise<Claim | undefined> => claim(tableName(key));

const predecessorMs = 3_000; // an agent that ends lets go of its table last

export async function claimOwnTable(key: string): Promise<Claim> {
  const deadline = performance.now() + predecessorMs;
  for (;;) {
    const own = await claimTable(key);
    if (own) return own;
    if (performance.now() > deadline) {
      throw new HobError("precondition", `another agent serves the pool ${key} on this machine`, { remedy: "end it first" });
    }
    await after(20);
  }
}

/** The first of these that no other pool has. */
export async function claimRegion(candidates: readonly Region[]): Promise<{ region: Region; claim: Claim }> {
  for (const region of candidates) {
    const own = await claim(region.range);
    if (own) return { region, claim: own };
  }
  throw new HobError("exhausted", "every range of addresses for containers is some pool's on this machine", {
    remedy: "end one of them: `ss -xl | grep hob-network` lists what they hold",
  });
}
