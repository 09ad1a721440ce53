// ⑤ For the tests of containers' networks: an internet that is a network namespace, and a node whose one way out leads there.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const internet = "203.0.113.9"; // and, in the same namespace, a private network, the metadata address, and a neighbour

/** TCP on 80 and 53 that greets, and names on 53: all is 203.0.113.9, but "private" is 10.1.2.3. */
export const servers = `
import socket, struct, threading
def names(data):
    address = "10.1.2.3" if b"private" in data else "${internet}"
    return data[:2] + b"\\x81\\x80" + data[4:6] + b"\\0\\1\\0\\0\\0\\0" + data[12:] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(address)
def tcp(port, answer):
    server = socket.create_server(("0.0.0.0", port))
    print("up", flush=True)
    while True:
        connection, _ = server.accept()
        answer(connection)
        connection.close()
def greet(connection): connection.sendall(b"hello")
def name(connection):
    data = connection.recv(2048)
    answer = names(data[2:])
    connection.sendall(struct.pack(">H", len(answer)) + answer)
threading.Thread(target=tcp, args=(80, greet)).start()
threading.Thread(target=tcp, args=(53, name)).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
while True:
    data, who = udp.recvfrom(2048)
    udp.sendto(names(data), who)
`;

/** Holds whoever connects until a line comes on its stdin; tells of each. */
const holding = `
import socket, sys, threading
server = socket.create_server(("0.0.0.0", 7000))
held = []
def accept():
    while True:
        held.append(server.accept()[0])
        print("held", flush=True)
threading.Thread(target=accept, daemon=True).start()
print("up", flush=True)
for _ in sys.stdin:
    while held: held.pop().close()
`;

const greeting = `
import socket
server = socket.create_server(("0.0.0.0", 80))
print("up", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello")
    connection.close()
`;

export const uplink = "up0";

/** What can be reached from the node itself: by name of what a container should be refused, or not. */
export const addresses = {
  internet,
  node: "192.0.2.2",
  neighbour: "192.0.2.1",
  private: "10.1.2.3",
  metadata: "169.254.169.254",
} as const;

export interface TestNode extends AsyncDisposable {
  /** A command line in front of another, which then runs on the node, in `folder`. */
  before(folder: string): string[];
  /** Runs a program on the node and gives its stdout. */
  run(...argv: string[]): string;
  /** The node's processes that the test has not started. */
  strangers(processes: { pid: number; network: string }[]): number[];
  readonly network: string;
  /** Resolves once so many connections to port 7000 of the internet are held. */
  held(count: number): Promise<void>;
  release(): void;
}

/** A namespace with its keeper, a process that ends with this one. */
async function namespace(kinds: string[], script: string, ...args: string[]): Promise<ChildProcess> {
  const keeper = spawn("unshare", [...kinds, "sh", "-ec", `${script}echo up; exec cat`, "sh", ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(keeper.stdout!, "data");
  return keeper;
}

/** The node: network and mount namespaces of their own, its name server the internet's, its uplink on no default route. */
export async function makeNode(folder: string): Promise<TestNode> {
  await using undo = new AsyncDisposableStack();
  const adopt = (child: ChildProcess): ChildProcess => {
    undo.defer(async () => {
      const end = once(child, "exit");
      if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")) await end;
    });
    return child;
  };
  const nameFile = join(folder, "resolv.conf of the node");
  writeFileSync(nameFile, `nameserver ${internet}\n`);
  const bind = 'mount --bind "$1" /etc/resolv.conf; echo 0 > /proc/sys/net/ipv4/ip_forward; ';
  const node = adopt(await namespace(["--net", "--mount", "--propagation", "private"], bind, nameFile));
  const outside = adopt(await namespace(["--net"], ""));
  const enter = (pid: number | undefined, mounts = false): string[] => [
    "nsenter",
    `--net=/proc/${pid}/ns/net`,
    ...(mounts ? [`--mount=/proc/${pid}/ns/mnt`] : []),
  ];
  const run = (pid: number | undefined, argv: string[], input = ""): string => {
    const [file = "", ...args] = [...enter(pid), ...argv];
    return execFileSync(file, args, { input, encoding: "utf8", timeout: 20_000 });
  };
  run(
    node.pid,
    ["ip", "-batch", "-"],
    `link set lo up
link add ${uplink} type veth peer name eth0 netns ${outside.pid}
addr add ${addresses.node}/24 dev ${uplink}
link set ${uplink} up
`,
  );
  run(
    outside.pid,
    ["ip", "-batch", "-"],
    `link set lo up
addr add ${addresses.neighbour}/24 dev eth0
link set eth0 up
${[internet, addresses.private, addresses.metadata].map((address) => `addr add ${address}/32 dev lo`).join("\n")}
route add 198.18.0.0/15 via ${addresses.node}
`,
  );
  const halves = ["0.0.0.0/1", "128.0.0.0/1"].map((half) => `route add ${half} via ${addresses.neighbour}\n`);
  run(node.pid, ["ip", "-batch", "-"], halves.join(""));

  const python = async (pid: number | undefined, script: string): Promise<ChildProcess> => {
    const [file = "", ...args] = [...enter(pid), "/usr/bin/python3", "-c", script];
    const child = adopt(spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] }));
    await once(child.stdout!, "data");
    return child;
  };
  await python(outside.pid, servers.replace('"0.0.0.0", 53))\nwhile', `"${internet}", 53))\nwhile`));
  const greeter = await python(node.pid, greeting);
  const holder = await python(outside.pid, holding);
  let heldNow = 0;
  let look = (): void => {};
  createInterface(holder.stdout!).on("line", () => {
    heldNow += 1;
    look();
  });
  const life = undo.move();
  const network = run(node.pid, ["readlink", "/proc/self/ns/net"]).trim();
  return {
    network,
    before: (place) => [...enter(node.pid, true), "env", `--chdir=${place}`],
    run: (...argv) => run(node.pid, argv),
    strangers: (processes) =>
      processes.filter((one) => one.network === network && one.pid !== node.pid && one.pid !== greeter.pid).map(({ pid }) => pid),
    held: (count) =>
      new Promise<void>((resolve) => {
        look = () => heldNow >= count && resolve();
        look();
      }),
    release() {
      heldNow = 0;
      holder.stdin!.write("\n");
    },
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}
