// ⑤ What a container is kept from, on a real pool with an internet of the test's own: the probe, secrets, the network, and what a kill leaves.

import { type ChildProcess, execFileSync, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isRunning } from "../../agent/container/process.ts";
import { readOwner } from "../../agent/run-folder.ts";
import { installRoot } from "../../base/install.ts";
import { type Said, startHob } from "../cli/run-hob.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { leftovers, makeWorkplace, type Workplace } from "../drive/workplace.ts";
import { addresses, internet, makeNode, type TestNode, uplink } from "./internet.ts";
import { containerProcesses, filesWith, networks, processesWith } from "./traces.ts";

const hasNft = spawnSync("nft", ["--version"]).status === 0 && spawnSync("ip", ["-V"]).status === 0;
if (!hasNft) process.stderr.write("skipped: nft or ip is not installed\n");

interface Row {
  check: string;
  held: boolean;
  found: string;
}

interface Table {
  name: string;
  handle: number;
}

/** What cannot fail outside of a container here: this kernel lacks modules or kexec, or nobody is there to be reached. */
const fewestOpen = 40;

/** Runs on the node, too: there, all of it is reached. */
const reach = `
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def tcp(address):
    try:
        with socket.create_connection((address, 80), timeout=1) as connection:
            return connection.recv(5).decode()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return error.strerror

def reach(addresses):
    with ThreadPoolExecutor(len(addresses)) as threads:
        return dict(zip(addresses, threads.map(tcp, addresses)))

if __name__ == "__main__":
    print(json.dumps(reach(json.loads(sys.argv[1]))))
`;

const python = `
import hashlib, os, socket
import hob
from reach import reach

app = hob.App("vault")

@app.function(secrets=["API_KEY"])
def kept(word):
    with open("/tmp/word", "w") as file:
        file.write(word)
    socket.create_connection(("${internet}", 7000)).recv(1)
    return hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest()

@app.function()
def roads(addresses):
    return {"name": socket.gethostbyname("example.com"), **reach(addresses)}

@app.function(network="none")
def alone(addresses):
    links = [name for _, name in socket.if_nameindex()]
    return {"links": links, "secret": "API_KEY" in os.environ, **reach(addresses)}
`;

const typescript = `
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { App } from "hob";

const app = new App("vault");
export const keptToo = app.function({ secrets: ["API_KEY"] }, async (word: string) => {
  const server = createServer((socket) => socket.end("hello")).listen(80, "0.0.0.0");
  await once(server, "listening");
  console.log("address", networkInterfaces()["eth0"]?.[0]?.address);
  const held = connect(7000, "${internet}").resume();
  await once(held, "close");
  server.close();
  return createHash("sha256").update(process.env["API_KEY"] ?? "").digest("hex");
});
`;

describe.skipIf(!rootWithContainers() || !hasNft)("a container of a pool", () => {
  const secret = `kept-${randomBytes(18).toString("hex")}`;
  const marker = `shown-${randomBytes(9).toString("hex")}`; // goes everywhere a call goes: what finds no secret finds this
  let place: Workplace;
  let node: TestNode;
  let run: string;

  const running = new Set<ChildProcess>();
  const hob = (args: string[], input?: string): Promise<Said> => {
    const { child, said } = startHob({ ...place, folder: place.project }, args, node.before(place.project), input);
    running.add(child);
    return said.finally(() => running.delete(child));
  };
  const result = async (...args: string[]): Promise<unknown> => {
    const { stdout, stderr, code } = await hob(["run", ...args]);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const links = (): Map<number, string> => {
    const all = JSON.parse(node.run("ip", "-j", "link", "show", "type", "veth")) as { ifindex: number; ifname: string }[];
    return new Map(all.filter(({ ifname }) => ifname !== uplink).map(({ ifindex, ifname }) => [ifindex, ifname]));
  };
  const tables = (): { name: string; handle: number }[] => {
    const { nftables } = JSON.parse(node.run("nft", "-j", "list", "tables")) as { nftables: { table?: Table }[] };
    return nftables.flatMap(({ table }) => (table ? [{ name: table.name, handle: table.handle }] : []));
  };
  const forwards = (): string => node.run("cat", `/proc/sys/net/ipv4/conf/${uplink}/forwarding`).trim();
  const agentPid = (): number => readOwner(run)?.agent.pid ?? 0;

  beforeAll(async () => {
    const files = { "app.py": python, "app.ts": typescript, "reach.py": reach, ".hobignore": "" };
    place = makeWorkplace(files);
    Object.assign(place.environment, { HOB_LINGER_MS: "60000", HOB_UPLINK: uplink, NO_COLOR: "1" });
    run = join(place.run, place.key);
    node = await makeNode(dirname(place.project));
    const { code, stderr } = await hob(["secrets", "set", "API_KEY"], `${secret}\n`);
    expect(code, stderr).toBe(0);
  }, 60_000);
  afterAll(async () => {
    for (const child of running) child.kill("SIGKILL"); // calls of a test that failed: they would wait for a pool for ever
    await hob(["pool", "stop", "--force"]);
    await node[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  it("finds every boundary in place when it probes them", async () => {
    const said = await hob(["doctor", "--isolation", "--json"]);
    const rows = said.stdout.split("\n").flatMap((line): Row[] => (line ? [JSON.parse(line)] : []));
    expect(
      rows.filter(({ held }) => !held),
      said.stderr,
    ).toEqual([]);
    expect(rows.length).toBeGreaterThanOrEqual(40);
    expect(said.code).toBe(0);
  });

  it("has a secret in its function's environment, and the machine has it nowhere else; by its network it reaches the internet alone", async () => {
    const calls = [result("app.py::kept", JSON.stringify([marker])), result("app.ts::keptToo", JSON.stringify([marker]))];
    await Promise.race([node.held(2), Promise.all(calls)]); // a call that ends before it is held has failed
    const folders = [run, dirname(place.project), place.environment["XDG_CACHE_HOME"] ?? ""];
    const search = (text: string) => folders.flatMap((folder) => filesWith(text, folder, agentPid()));
    expect(processesWith(secret)).toEqual([]);
    expect(search(secret)).toEqual([]);
    expect(processesWith(marker)).not.toEqual([]);
    const shown = search(marker).join("\n");
    expect(shown).toMatch(/\/rw\/tmp\/word$/m);
    expect(shown).toMatch(/\/hob\/pools\/.*\.(db|sqlite)/);
    expect(search('"ociVersion"').join("\n")).toMatch(/\/config\.json$/m);

    const [logs, ps, listed] = await Promise.all([
      hob(["logs", "--json"]),
      hob(["ps", "--json"]),
      hob(["secrets", "list", "--json"]),
    ]);
    const other = /address (198\.1[89]\.[\d.]+)/.exec(logs.stdout)?.[1] ?? "no address";
    expect(ps.stdout).toContain("keptToo");
    expect(listed.stdout).toContain("API_KEY");
    expect(logs.stdout + ps.stdout + listed.stdout).not.toContain(secret);

    const here = Object.values(addresses);
    const onNode = JSON.parse(node.run("python3", join(place.project, "reach.py"), JSON.stringify(here))) as unknown;
    expect(onNode).toEqual(Object.fromEntries(here.map((address) => [address, "hello"])));
    const asked = [...here, other];
    const [roads, alone] = await Promise.all([
      result("app.py::roads", JSON.stringify([asked])),
      result("app.py::alone", JSON.stringify([asked])),
    ]);
    const refused = Object.fromEntries(asked.map((address) => [address, "timeout"]));
    expect(roads).toEqual({ name: internet, ...refused, [internet]: "hello" });
    const nowhere = Object.fromEntries(asked.map((address) => [address, "Network is unreachable"]));
    expect(alone).toEqual({ links: ["lo"], secret: false, ...nowhere });

    node.release();
    const hash = createHash("sha256").update(secret).digest("hex");
    expect(await Promise.all(calls)).toEqual([hash, hash]);
    expect(search(secret)).toEqual([]); // nor in what is kept of the calls
  });

  it("leaves no rule, link, namespace or switch when its agent is killed: neither beside a new agent nor after a sweep", async () => {
    const look = async () => ({ tables: tables(), links: links(), processes: await containerProcesses(place.key) });
    const before = await look();
    expect(before.tables.map(({ name }) => name)).toEqual([`hob_${place.key}`]);
    expect(before.links.size).toBeGreaterThan(0);
    expect(before.processes.length).toBeGreaterThan(0);
    expect(forwards()).toBe("1");
    const killed = agentPid();
    process.kill(killed, "SIGKILL");
    const again = (await result("app.py::roads", JSON.stringify([[internet]]))) as Record<string, string>; // waits for the new agent
    expect(again[internet]).toBe("hello");
    expect(agentPid()).not.toBe(killed);
    const after = await look();
    expect(after.tables.map(({ name }) => name)).toEqual([`hob_${place.key}`]);
    expect(after.tables[0]?.handle).not.toBe(before.tables[0]?.handle);
    expect([...before.links.keys()].filter((index) => after.links.has(index))).toEqual([]);
    expect(before.processes.filter(isRunning)).toEqual([]);

    const control = Number(readFileSync(join(place.state, "hob/pools", place.key, "control.pid"), "utf8"));
    process.kill(control, "SIGKILL"); // first: it would start another agent
    process.kill(agentPid(), "SIGKILL");
    const swept = await hob(["pool", "stop", "--force"]);
    expect(swept.code, swept.stderr).toBe(0);
    expect(tables()).toEqual([]);
    expect([...links().values()]).toEqual([]);
    expect(forwards()).toBe("0");
    expect(existsSync(join(place.run, "forwarding"))).toBe(false);
    expect(after.processes.filter(isRunning)).toEqual([]);
    expect(node.strangers(networks())).toEqual([]); // who would hold the containers' namespaces by their descriptors
    expect(leftovers(place)).toEqual([]);
  });
});

describe.skipIf(!rootWithContainers())("the isolation probe", () => {
  it("reports most boundaries open for a process that nothing confines", () => {
    const script = `import json, probe; print(json.dumps(probe.run_checks({"memory": ${64 << 20}, "paths": ["/usr"]})))`;
    const text = execFileSync("unshare", ["--mount", "--net", "--propagation", "private", "/usr/bin/python3", "-c", script], {
      encoding: "utf8",
      timeout: 30_000,
      env: {
        PYTHONPATH: `${join(installRoot, "sdk/python")}:${join(installRoot, "cli/doctor/isolation")}`,
        PYTHONDONTWRITEBYTECODE: "1",
      },
    });
    const open = (JSON.parse(text) as Row[]).filter(({ held }) => !held).map(({ check }) => check);
    expect(open.length, open.join(" ")).toBeGreaterThanOrEqual(fewestOpen);
    expect(open).toEqual(expect.arrayContaining(["mount", "user-namespace", "seccomp", "capabilities", "uid", "memory", "disk"]));
  });
});
