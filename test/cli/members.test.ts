// `hob control --listen HOST:PORT` and those who enter it: `hob pool token`, `hob login`, `hob agent --join`, and what is asked of nodes.

import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hob, makePlace, type Place, type Said, startHob } from "./run-hob.ts";

/** Of the token in a URL; it may have underscores itself. */
const secretOf = (url: string): string => /hob_[0-9a-f]{8}_([^@]+)@/.exec(url)![1]!;

describe("a pool on the network, by hand", () => {
  const place = makePlace();
  const socket = join(place.folder, "c.sock");
  const other = makePlace(); // another person's machine
  let control: ReturnType<typeof startHob>;
  let address: string;

  const json = (said: Said): Record<string, unknown> => {
    expect(said.stderr, said.stderr).not.toMatch(/^hob: /);
    return JSON.parse(said.stdout) as Record<string, unknown>;
  };
  const owner = (...args: string[]) => hob(place, [...args, "--control", socket]);
  const withUrl = (at: Place, args: string[], url: string) => startHob(at, args, [], url).said;

  beforeAll(async () => {
    control = startHob(place, ["control", "--listen", socket, "--listen", "127.0.0.1:0", "--state", "kept", "--json"]);
    const [line] = (await once(control.child.stdout!, "data")) as [Buffer];
    address = (JSON.parse(String(line)) as { network: string }).network;
    expect(address).toMatch(/^hob:\/\/127\.0\.0\.1:\d+$/);
  }, 20_000);
  afterAll(async () => {
    control.child.kill("SIGTERM");
    await control.said;
    place[Symbol.dispose]();
    other[Symbol.dispose]();
  });

  test("a person logs in with a URL, names the pool by its address from then on, and may not make tokens", async () => {
    const made = json(await owner("pool", "token", "create", "--scope", "client", "--note", "anna", "--json"));
    const saved = await withUrl(other, ["login", "-"], `${made["url"]}\n`);
    expect(saved.stdout).toContain(`Logged in to ${address}, scope client.`);
    const file = join(other.folder, "config/hob/pools.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    other.environment["HOB_CONTROL"] = address;
    expect((await hob(other, ["pool"])).stdout).toContain("No nodes");
    const refused = await hob(other, ["pool", "token", "create"]);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining("takes control's own socket, on its machine") });
    expect((await owner("pool", "token", "ls")).stdout).toMatch(/client +never +\d+ ms ago|client +never +[\d.]+ s ago/);
    const kept = readdirSync(join(place.folder, "kept")).filter((name) => name.startsWith("control.db"));
    const secret = secretOf(String(made["url"]));
    for (const name of kept) expect(readFileSync(join(place.folder, "kept", name)).includes(secret), name).toBe(false);
    expect(json(await owner("pool", "token", "revoke", String(made["id"]), "--json"))).toMatchObject({ revoked: true });
    expect(await hob(other, ["ps"])).toMatchObject({ code: 3, stderr: expect.stringContaining("was revoked: ask for another") });
  });

  test("who has no login, or a URL that is cut short, is told what to do", async () => {
    const stranger = await hob(place, ["ps", "--control", "hob://127.0.0.1:1"]);
    expect(stranger).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^hob: there is no login for hob:\/\/127\.0\.0\.1:1: `hob login URL`/),
    });
    const cut = await withUrl(other, ["login", "-"], `${address.replace("hob://", "hob://hob_1_x@")}`);
    expect(cut).toMatchObject({ code: 2, stderr: expect.stringContaining("needs the pin behind its address") });
    expect(cut.stderr).not.toContain("hob_1_x");
    const nobody = await withUrl(other, ["login", "-"], "hob://hob_1_x@127.0.0.1:1/AAAA");
    expect(nobody).toMatchObject({ code: 3, stderr: expect.stringContaining("connecting to hob://127.0.0.1:1") });
  });

  test("a machine joins with a URL, keeps credentials of its own, and is cordoned and removed by name", async () => {
    const { url } = json(await owner("pool", "token", "create", "--json")) as { url: string };
    const joined = await withUrl(other, ["agent", "--join", "-", "--join-only", "--name", "workstation"], url);
    expect(joined).toMatchObject({ code: 0, stdout: `Node workstation has joined ${address}.\n` });
    const file = join(other.folder, "state/hob/agents/workstation/credentials.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8")).not.toContain(secretOf(url));
    const again = await withUrl(other, ["agent", "--join", "-", "--join-only", "--name", "workstation"], url);
    expect(again.code).toBe(0); // it has joined: the token is not needed
    const twin = await withUrl(place, ["agent", "--join", "-", "--join-only", "--name", "workstation"], url);
    expect(twin).toMatchObject({ code: 3, stderr: expect.stringContaining("the pool has a node workstation already") });
    expect((await owner("pool", "cordon", "workstation")).stdout).toBe(
      "Node workstation takes nothing new; 0 calls run there.\n",
    );
    const [, node] = (await owner("pool", "--json")).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(node).toMatchObject({ name: "workstation", state: "lost", cordoned: true });
    expect((await owner("pool", "remove", "workstation")).stdout).toContain("no member of the pool any more");
    expect(await owner("pool", "cordon", "workstation")).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("has no node workstation"),
    });
  });

  test("a pool with several controls is waited for while another takes over, one with a single control is not", async () => {
    const { url } = json(await owner("pool", "token", "create", "--scope", "client", "--json")) as { url: string };
    const { port } = new URL(address.replace("hob:", "http:"));
    const places = `127.0.0.1:1,127.0.0.1:${port}`;
    const both = await withUrl(other, ["login", "-"], url.replace(`127.0.0.1:${port}`, places));
    expect(both.stdout).toContain(`Logged in to hob://${places}, scope client.`);
    await withUrl(other, ["login", "-"], url);
    control.child.kill("SIGTERM");
    await control.said;
    const alone = await hob(other, ["ps", "--control", address]);
    expect(alone).toMatchObject({ code: 3, stderr: expect.stringContaining(`no control answers at ${address}`) });
    const waiting = startHob(other, ["ps", "--control", `hob://${places}`]);
    const [line] = (await once(waiting.child.stderr!, "data")) as [Buffer];
    expect(String(line)).toContain("waiting for one that takes over");
    control = startHob(place, ["control", "--listen", socket, "--listen", `127.0.0.1:${port}`, "--state", "kept", "--json"]);
    expect(await waiting.said).toMatchObject({ code: 0 });
  });
});

describe("hob control", () => {
  test.each([
    [["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:1"], /^hob: control listens at one socket, and at one address/],
    [["--http", "127.0.0.1:0", "--tls-cert", "a.pem"], /^hob: a certificate and its key belong together: give both/],
    [["--advertise", "example:1"], /^hob: --advertise, --tls-cert and --tls-key are for a control on the network/],
    [["--listen", "127.0.0.1:0", "--tls-cert", "a.pem"], /^hob: a certificate and its key belong together/],
  ])("refuses %j", async (args, sentence) => {
    using place = makePlace();
    expect(await hob(place, ["control", ...args])).toMatchObject({ code: 2, stderr: expect.stringMatching(sentence) });
  });
});
