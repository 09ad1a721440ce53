// ⑤ Whether containers can have a network here: a pool's rules are tried in a network namespace that ends with the try.

import { networkObstacle } from "../../agent/network/nft.ts";
import { findUplinks } from "../../agent/network/uplinks.ts";
import { installSentence, thisManager } from "../distribution.ts";
import { findExecutable } from "../prerequisites.ts";
import type { Finding } from "./finding.ts";

export async function checkNetwork(): Promise<Finding> {
  const row = { check: "network", title: "network" };
  const meaning = "containers have a loopback device only";
  if (!findExecutable("nft")) {
    return { ...row, state: "limited", found: "nft is not in PATH", meaning, remedy: installSentence("nftables", thisManager()) };
  }
  const obstacle = await networkObstacle();
  if (obstacle) return { ...row, state: "limited", found: obstacle.message, meaning, remedy: obstacle.remedy ?? "" };
  const { names } = findUplinks();
  if (names.length > 0)
    return { ...row, state: "ok", found: `nftables, ${names.join(", ")}`, meaning: "containers reach the internet only" };
  return { ...row, state: "ok", found: "nftables, no way out", meaning: "containers reach a name server only" };
}
