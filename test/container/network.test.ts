// ⑤ What containers reach by their network, and what they do not: between namespaces that the test has made, never on the machine's own.

import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseServers } from "../../agent/network/resolver.ts";
import { defaultRoutes, networkOf } from "../../agent/network/uplinks.ts";
import { rootWithContainers } from "../drive/requirements.ts";

const hasNft = spawnSync("nft", ["--version"]).status === 0 && spawnSync("ip", ["-V"]).status === 0;
if (!hasNft) process.stderr.write("skipped: nft or ip is not installed\n");

interface Row {
  name: string;
  /** "yes", or the error's name. */
  outcome: string;
}

/** Runs network-world.ts in namespaces of its own; whatever it has started ends with it, also when it hangs. */
function world(): { rows: Row[]; left: string; attachMs: number[]; pools: string } {
  const spaces = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const text = execFileSync("unshare", [...spaces, process.execPath, join(import.meta.dirname, "network-world.ts")], {
    encoding: "utf8",
    timeout: 60_000,
    killSignal: "SIGKILL", // unshare is deaf to SIGTERM while it waits
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

describe.skipIf(!rootWithContainers() || !hasNft)("the containers' network", () => {
  it("lets out to the internet and to the resolver, and to nothing else; nothing of it is left at the end", () => {
    const { rows, left, attachMs } = world();
    const outcomes = Object.fromEntries(rows.map(({ name, outcome }) => [name, outcome]));
    expect(outcomes).toEqual({
      "the internet, by TCP": "yes",
      "the internet, by ping": "yes",
      "a name, by UDP": "203.0.113.9",
      "a name, by TCP": "203.0.113.9",
      "a name that points to a private address": "10.1.2.3",
      "a port below 1024": "yes",
      "the node by its uplink's address": "timeout",
      "the node by the gateway's address": "timeout",
      "a neighbour of the node": "timeout",
      "the private network behind the uplink": "timeout",
      "the metadata address": "timeout",
      "another container": "timeout",
      "a container of another pool": "timeout",
      "the internet with another source": "timeout",
      IPv6: "no address",
      "in from the internet": "timeout",
      "the resolver, from the neighbour": "timeout",
    });
    expect(left).toBe("");
    const sorted = attachMs.sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(20); // 1 ms on a quiet machine
  });
});

describe("what the network is made from", () => {
  it("default routes are those without destination and mask that are up", () => {
    const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    const rows =
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth1\t00000000\t00000000\t0002\t0\t0\t0\t00000000\t0\t0\t0\n";
    const more =
      "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\nwlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
    expect(defaultRoutes(head + rows + more)).toEqual(["eth0", "wlan0"]);
    expect(networkOf("203.0.113.77/26")).toBe("203.0.113.64/26");
    expect(parseServers("# nameserver 1.1.1.1\nsearch home\n nameserver 127.0.0.53\nnameserver\tfd00::1\n")).toEqual([
      "127.0.0.53",
      "fd00::1",
    ]);
  });
});
