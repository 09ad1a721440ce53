// ⑤ For network.test.ts, in a network namespace of its own, which is the node: an internet behind it, two pools on it, and what their containers reach.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createSlots, type Slot } from "../../agent/container/slots.ts";
import { inNetwork } from "../../agent/container/system-calls.ts";
import { regionsOf } from "../../agent/network/addresses.ts";
import { openNetwork } from "../../agent/network/network.ts";
import { loadRules } from "../../agent/network/nft.ts";
import { rules } from "../../agent/network/rules.ts";
import { silentLog } from "../../base/log.ts";
import { internet, servers } from "./internet.ts";

const patience = 0.4; // seconds: everything here is one machine away
delete process.env["HOB_UPLINK"];

const children: ChildProcess[] = [];
const ip = (batch: string): void => void execFileSync("ip", ["-batch", "-"], { input: batch });

/** A process that keeps a network namespace, entered by its descriptor. */
async function namespace(): Promise<{ fd: number; pid: number }> {
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "pipe", "inherit"] });
  children.push(holder);
  holder.stdin.write("x");
  await once(holder.stdout, "data");
  return { fd: openSync(`/proc/${holder.pid}/ns/net`, "r"), pid: holder.pid ?? 0 };
}

function python(networkFd: number, script: string): ChildProcess {
  const child = spawn("nsenter", [`--net=/proc/self/fd/3`, "/usr/bin/python3", "-c", script], {
    stdio: ["ignore", "pipe", "inherit", networkFd],
  });
  children.push(child);
  return child;
}

/** Resolves once all of them listen: each is heard from its start on, whichever is the first. */
const listening = (servers: ChildProcess[]): Promise<unknown> => Promise.all(servers.map(({ stdout }) => once(stdout!, "data")));

/** Checks as lines of Python: each a name and an expression; prints a JSON object. */
const asking = (checks: [name: string, expression: string][]): string => `
import json, os, socket, struct, subprocess
socket.setdefaulttimeout(${patience})
def tcp(address, port=80, family=socket.AF_INET, source=None):
    s = socket.socket(family, socket.SOCK_STREAM)
    if source:
        s.setsockopt(socket.SOL_IP, 15, 1)
        s.setsockopt(socket.SOL_IP, 19, 1)
        s.bind((source, 0))
    s.connect((address, port))
    return "yes" if s.recv(5) == b"hello" else "silence"
def question(name): return b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + b"".join(bytes([len(p)]) + p for p in name.encode().split(b".")) + b"\\0\\0\\1\\0\\1"
def udp_name(server, name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(question(name), (server, 53))
    answer = s.recv(2048)
    return socket.inet_ntoa(answer[-4:]) if answer[:2] == b"\\x12\\x34" else "another's answer"
def tcp_name(server, name):
    s = socket.create_connection((server, 53))
    s.sendall(struct.pack(">H", len(question(name))) + question(name))
    return socket.inet_ntoa(s.recv(2048)[-4:])
def ping(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.connect((address, 0))
    s.send(b"\\x08\\0\\0\\0\\0\\0\\0\\1")
    return "yes" if s.recv(100) else "silence"
def low():
    socket.create_server(("0.0.0.0", 80)).close()
    return "yes"
def addresses6():
    lines = open("/proc/net/if_inet6").read().split("\\n") if os.path.exists("/proc/net/if_inet6") else []
    return "no address" if not any(line.endswith(" eth0") for line in lines) else "an address"
def attempt(work):
    try: return work()
    except socket.timeout: return "timeout"
    except OSError as error: return error.strerror or str(error)
print(json.dumps([{"name": name, "outcome": attempt(work)} for name, work in [${checks.map(([name, expression]) => `(${JSON.stringify(name)}, lambda: ${expression})`).join(", ")}]]))
`;

async function ask(networkFd: number, checks: [string, string][]): Promise<{ name: string; outcome: string }[]> {
  return JSON.parse(await text(python(networkFd, asking(checks)).stdout!));
}

async function main(): Promise<unknown> {
  await using undo = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "hob-network-"));
  undo.defer(() => rmSync(folder, { recursive: true, force: true }));
  undo.defer(() => {
    for (const child of children) child.kill("SIGKILL");
  });
  const own = openSync("/proc/thread-self/ns/net", "r");
  undo.defer(() => closeSync(own));
  const outside = await namespace();
  ip(`link set lo up
link add up0 type veth peer name eth0 netns ${outside.pid}
addr add 192.0.2.2/24 dev up0
link set up0 up
`);
  inNetwork(outside.fd, own, () =>
    ip(`link set lo up
addr add 192.0.2.1/24 dev eth0
link set eth0 up
addr add ${internet}/32 dev lo
addr add 10.1.2.3/32 dev lo
addr add 169.254.169.254/32 dev lo
route add 198.18.0.0/15 via 192.0.2.2
`),
  );
  ip("route add default via 192.0.2.1\n");
  const world = python(outside.fd, servers.replace('"0.0.0.0", 53))\nwhile', `"${internet}", 53))\nwhile`));
  const node = python(
    own,
    servers.replaceAll("tcp, args=(53, name)", "tcp, args=(8053, name)").replace('"0.0.0.0", 53', '"127.0.0.1", 5353'),
  );
  await listening([world, node]);
  const nameServers = join(folder, "resolv.conf");
  writeFileSync(nameServers, `nameserver ${internet}\n`);

  // Both would rather have one region, which a third had that was killed.
  const [wanted] = regionsOf("0badcafe");
  await loadRules(rules({ key: "2badcafe", region: wanted!, uplinks: [], neighbours: [], ownForwarding: false }));
  const pools = ["0badcafe", "1badcafe"].map((key) => ({ key, run: join(folder, key), folder: join(folder, key, "net") }));
  const containers: Slot[][] = [];
  const attachMs: number[] = [];
  {
    await using pool = new AsyncDisposableStack();
    for (const place of pools) {
      mkdirSync(place.folder, { recursive: true });
      const network = pool.use(await openNetwork({ ...place, nameServers, log: silentLog }));
      if (network.obstacle) throw network.obstacle;
      const attach: typeof network.attach = async (...args) => {
        const begin = performance.now();
        await network.attach(...args);
        attachMs.push(performance.now() - begin);
      };
      const slots = pool.use(createSlots(place.key, { obstacle: undefined, attach }));
      const signal = AbortSignal.timeout(20_000);
      containers.push([await slots.acquire("internet", signal), await slots.acquire("internet", signal)]);
    }
    const [first, second] = containers[0]!;
    const foreign = containers[1]![0]!;
    const addressOf = (slot: Slot) => inNetwork(slot.networkFd, own, () => networkInterfaces()["eth0"]?.[0]?.address ?? "");
    const resolver = /nameserver (\S+)/.exec(readFileSync(join(pools[0]!.folder, "resolv.conf"), "utf8"))![1]!;
    await listening([second!, foreign].map((slot) => python(slot.networkFd, servers)));
    const rows = await ask(first!.networkFd, [
      ["the internet, by TCP", `tcp("${internet}")`],
      ["the internet, by ping", `ping("${internet}")`],
      ["a name, by UDP", `udp_name("${resolver}", "example.com")`],
      ["a name, by TCP", `tcp_name("${resolver}", "example.com")`],
      ["a name that points to a private address", `udp_name("${resolver}", "private.example.com")`],
      ["a port below 1024", "low()"],
      ["the node by its uplink's address", `tcp("192.0.2.2")`],
      ["the node by the gateway's address", `tcp("${resolver}")`],
      ["a neighbour of the node", `tcp("192.0.2.1")`],
      ["the private network behind the uplink", `tcp("10.1.2.3")`],
      ["the metadata address", `tcp("169.254.169.254")`],
      ["another container", `tcp("${addressOf(second!)}")`],
      ["a container of another pool", `tcp("${addressOf(foreign)}")`],
      ["the internet with another source", `tcp("${internet}", source="198.51.100.7")`],
      ["IPv6", "addresses6()"],
    ]);
    rows.push(
      ...(await ask(outside.fd, [
        ["in from the internet", `tcp("${addressOf(second!)}")`],
        ["the resolver, from the neighbour", `udp_name("${resolver}", "example.com")`],
      ])),
    );
    for (const child of children.slice(3)) child.kill("SIGKILL");
    await pool.disposeAsync();
    const links = readFileSync("/proc/net/dev", "latin1").match(/h[01]badcaf\w+/g) ?? [];
    const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
    const forwarding = readFileSync("/proc/sys/net/ipv4/conf/up0/forwarding", "latin1").trim();
    const left = [...links, tables.trim(), forwarding === "0" ? "" : "forwarding is still on"].filter(Boolean).join("; ");
    return { rows, left, attachMs };
  }
}

process.stdout.write(`${JSON.stringify(await main())}\n`);
process.exit(0);
