// ④ Control on the network: who gets in, who does not, and that it goes on serving whatever knocks.

import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSource } from "../../agent/fetch/source.ts";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { openServerIdentity } from "../../control/access/identity.ts";
import { rights } from "../../control/access/rights.ts";
import { networkAddress, networkUrl, parseNetworkUrl } from "../../proto/address.ts";
import { controlName, fetchAuthority, peerName } from "../../proto/authority.ts";
import type { PeerCertificate } from "../../proto/gen/hob/v1/agents.ts";
import { CallsClient, ListCallsRequest } from "../../proto/gen/hob/v1/calls.ts";
import { ContentClient, type FetchElsewhere } from "../../proto/gen/hob/v1/content.ts";
import { type FleetSample, NodeInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { MembersClient, type TokenInfo } from "../../proto/gen/hob/v1/members.ts";
import { Publish } from "../../proto/gen/hob/v1/registry.ts";
import { clientCredentials, introduce, networkOptions } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { makePublish, openSession, publishAndLoad, resultOf } from "./harness.ts";
import { asked, makeNetworkPlace, type NetworkPlace, sendRaw } from "./network-place.ts";

describe("a control on the network", () => {
  let world: NetworkPlace;
  let client: string; // its address, introduced with a client's token
  beforeAll(async () => {
    world = await makeNetworkPlace();
    client = await world.enter("client");
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const whoAmI = (address: string) => {
    const members = new MembersClient(address, clientCredentials(address), networkOptions);
    return asked<{ scope: string; node: string }>((done) => members.whoAmI({}, done)).finally(() => members.close());
  };

  test("a machine joins with a token that is good for it alone, and calls go through it as through any", async () => {
    const address = await world.join("far-away");
    expect(await whoAmI(address)).toMatchObject({ scope: "agent", node: "far-away" });
    using _agent = linkAgent(address, { name: "far-away" });
    using session = openSession(client);
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    const call = await session.outcome(session.call("price", ["tea"]));
    expect([call.node, resultOf(call)]).toEqual(["far-away", "tea"]);
    await expect(world.join("far-away")).rejects.toThrow("the pool has a node far-away already");
  });

  test("its keys are for its user only, and what it shows is vouched for by the authority that tokens name", async () => {
    const folder = join(world.place.state, "access");
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of ["authority.key", "authority.crt", "control.key", "control.crt"])
      expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600);
    const authority = new X509Certificate(readFileSync(join(folder, "authority.crt")));
    const shown = new X509Certificate(readFileSync(join(folder, "control.crt")));
    expect(shown.verify(authority.publicKey)).toBe(true);
    expect([authority.ca, shown.ca, shown.subjectAltName]).toEqual([true, false, "DNS:control.hob"]);
  });

  test.each([
    ["no token", (token: string) => token.slice(0, 3), "the token is not one of this pool"],
    ["a wrong one", (token: string) => `${token.slice(0, -4)}AAAA`, "the token is not one of this pool"],
    ["one of another pool", () => `hob_00000000_${"A".repeat(43)}`, "the token is not one of this pool"],
  ])("%s gets nobody in", async (_what, spoil, why) => {
    const given = await world.url("client");
    introduce(networkAddress(given), { authority: await fetchAuthority(given), token: spoil(given.token) });
    await expect(whoAmI(networkAddress(given))).rejects.toThrow(why);
    expect(await world.logged.of(({ msg, why: said }) => msg === "refused" && String(said).includes(why))).toBeTruthy();
  });

  test("a token that has ended, or was revoked, gets nobody in, and what was open with it ends", async () => {
    const short = await world.url("client", 1_500);
    const address = networkAddress(short);
    introduce(address, { authority: await fetchAuthority(short), token: short.token });
    using session = openSession(address);
    await session.next("opened");
    expect(String(await session.failed)).toContain("has ended");
    await expect(whoAmI(address)).rejects.toThrow("ended on");
    const other = await world.enter("client");
    using second = openSession(other);
    await second.next("opened");
    const { tokens } = await asked<{ tokens: TokenInfo[] }>((done) => world.owner.listTokens({}, done));
    await asked((done) => world.owner.revokeToken({ id: tokens.at(-1)!.id }, done));
    expect(String(await second.failed)).toContain("was revoked");
    expect(tokens.map(({ id }) => id)).not.toContain(short.token.split("_")[1]); // those that have ended are not listed
  });

  test("who does not speak TLS is refused", async () => {
    const { port } = parseNetworkUrl(client);
    const plain = connect(port, "127.0.0.1").on("error", () => {});
    plain.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await once(plain, "close");
    await world.logged.of(({ msg, why }) => msg === "a connection was refused" && String(why).startsWith("no TLS"));
  });

  test("a URL that was made for another control is not believed, and no token is sent", async () => {
    await using impostor = await makeNetworkPlace();
    const genuine = await world.url("client");
    const elsewhere = { ...genuine, port: (await impostor.url("client")).port };
    await expect(fetchAuthority(elsewhere)).rejects.toThrow("is not the control that the URL was made for");
    introduce(networkAddress(elsewhere), { authority: await fetchAuthority(genuine), token: genuine.token });
    const members = new MembersClient(networkAddress(elsewhere), clientCredentials(networkAddress(elsewhere)), networkOptions);
    await expect(asked((done) => members.whoAmI({}, done))).rejects.toThrow(/self-signed certificate|signature/i);
    members.close();
    expect(impostor.logged.all.filter(({ msg }) => msg === "refused")).toEqual([]);
    expect(() => parseNetworkUrl(`${networkUrl(genuine)}/x`)).toThrow("not of the form hob://TOKEN@HOST:PORT/PIN");
  });

  test("a client cannot speak as an agent, and an agent neither as a client nor as another node", async () => {
    const spoken = (address: string, path: string) => sendRaw(address, path, Buffer.alloc(0));
    expect(String(await spoken(client, "/hob.v1.Agents/Link"))).toContain("takes a token of scope agent");
    expect(String(await spoken(client, "/hob.v1.Members/CreateToken"))).toContain("takes control's own socket");
    const address = await world.join("node-two");
    expect(String(await spoken(address, "/hob.v1.Calls/Session"))).toContain("takes a token of scope client");
    using agent = linkAgent(address, { name: "far-away" });
    await world.logged.of(({ why }) => why === "the agent of node node-two said that it is far-away");
    agent[Symbol.dispose]();
  });

  test("a token that may only read looks at everything and changes nothing", async () => {
    const address = await world.enter("read-only");
    const calls = new CallsClient(address, clientCredentials(address), networkOptions);
    const { calls: listed } = await asked<{ calls: unknown[] }>((done) =>
      calls.listCalls(ListCallsRequest.fromPartial({ limit: 9 }), done),
    );
    expect(listed.length).toBeGreaterThan(0);
    calls.close();
    using watcher = openSession(address);
    watcher.send({ $case: "watch", value: { apps: ["shop"], fleet: true } });
    expect((await watcher.next("watching")).apps[0]!.versions).toHaveLength(1);
    watcher.call("price", ["coffee"]);
    expect(String(await watcher.failed)).toContain('a token that may only read sent "call"');
    for (const path of Object.keys(rights)) {
      const may = rights[path as keyof typeof rights].scopes.includes("read-only");
      const changes =
        /Set|Remove|Build|Keep|Collect|Put|Create|Revoke|Change|Open|Attach|Link|Join|Shutdown|Fetch|Get$|Map$/.test(path);
      expect(may && changes && path !== "/hob.v1.Fleet/Get", path).toBe(false);
    }
  });

  test("what is too large, or is no message at all, ends its own stream and nothing else", async () => {
    using session = openSession(client);
    await session.next("opened");
    const large = await sendRaw(client, "/hob.v1.Calls/Session", Buffer.alloc(21 << 20), { "grpc.max_send_message_length": -1 });
    expect(String(large)).toMatch(/larger than max/i);
    const malformed = await sendRaw(client, "/hob.v1.Calls/Session", Buffer.from([0x0a, 0xff, 0xff, 0x01]));
    expect(String(malformed)).toMatch(/deserializ/i);
    await world.logged.of(({ msg, why }) => msg === "refused" && /larger than max/i.test(String(why)));
    await world.logged.of(({ msg, why }) => msg === "refused" && /deserializ/i.test(String(why)));
    const climbing = makePublish("v2", [{ name: "price" }]);
    climbing.snapshot!.changed[0]!.path = "../app.py";
    session.send({ $case: "publish", value: Publish.fromPartial({ ...climbing, id: 7 }) });
    const { failure } = await session.next("published", ({ id }) => id === 7);
    expect(failure?.message).toContain('"../app.py" is not a path inside a project');
  });

  test("a client that never reads is let go of, and those beside it are served", async () => {
    const address = await world.join("chatty");
    using agent = linkAgent(address, { name: "chatty" });
    using deaf = openSession(client);
    await deaf.next("opened");
    deaf.send({ $case: "watch", value: { apps: ["shop"], fleet: false } });
    await deaf.next("watching");
    deaf.stream.pause();
    using session = openSession(client);
    const value = "x".repeat(4 << 20);
    const letGo = () => world.logged.all.some(({ msg }) => msg === "a session was ended: its client does not read");
    for (let i = 0; i < 40; i++) await session.outcome(session.call("price", ["x".repeat(300_000)])); // what the streams themselves hold
    for (let i = 0; i < 12 && !letGo(); i++) {
      expect((await session.outcome(session.call("price", [value]))).state).toBe("succeeded");
    }
    expect(letGo()).toBe(true);
    deaf.stream.resume();
    expect(String(await deaf.failed)).toContain("it left more unread than");
    expect(agent.containers.size).toBeGreaterThan(0);
  });

  test("an agent that says what no machine is, is not taken, and is let go of if it says so later", async () => {
    const address = await world.join("boaster");
    using agent = linkAgent(address, { name: "boaster", cores: 1_000_000 });
    await world.logged.of(({ error }) => String(error).includes("node boaster is not taken: it says that it has 1000000 cores"));
    agent[Symbol.dispose]();
    using second = linkAgent(address, { name: "boaster" });
    await second.commands.of((command) => command.$case === "welcome");
    second.send({ $case: "sample", value: NodeInfo.fromPartial({ name: "far-away", memoryBytes: 2 ** 50 }) });
    await world.logged.of(({ reason, node }) => node === "boaster" && String(reason).includes("1024 TiB of memory"));
    using session = openSession(client);
    session.send({ $case: "watch", value: { apps: [], fleet: true } });
    const { nodes } = (await session.next("fleet")) as FleetSample;
    expect(nodes.find(({ name }) => name === "boaster")).toMatchObject({ state: "lost", cores: 0 });
  });

  test("nodes are sent to each other for contents of images: to where their link comes from, with a certificate of the pool's for each", async () => {
    const image = sha256("an image");
    const [giving, taking] = [await world.join("giver"), await world.join("taker")];
    using giver = linkAgent(giving, { name: "giver", peerAddress: ":4321" });
    const { value: pair } = await giver.commands.of((command) => command.$case === "peerCertificate");
    const certificate = new X509Certificate((pair as PeerCertificate).certificate);
    expect(certificate.checkHost(peerName("giver"))).toBe(peerName("giver"));
    expect(certificate.checkHost(peerName("taker"))).toBeUndefined();
    expect(
      certificate.verify(new X509Certificate(readFileSync(join(world.place.state, "access", "authority.crt"))).publicKey),
    ).toBe(true);
    using taker = linkAgent(taking, { name: "taker", peerAddress: ":4322" });
    await taker.commands.of((command) => command.$case === "peerCertificate");

    const data = Buffer.alloc(100_000, "content");
    const digest = await openContentFolder(world.place.store, { durable: false }).put(data);
    const ask = async (node: string, address: string): Promise<Buffer | FetchElsewhere> => {
      const client = new ContentClient(address, clientCredentials(address), networkOptions);
      using source = createSource(() => client, { name: "control", metadata: { node }, patient: true });
      const pieces: Buffer[] = [];
      try {
        return await new Promise((resolve, reject) => {
          source.ask(
            { digest, image, offset: 0, length: data.length, urgent: true, direct: false, squeezed: false },
            {
              data(piece, last) {
                pieces.push(piece);
                if (last) resolve(Buffer.concat(pieces));
              },
              ...{ elsewhere: resolve, failed: reject, lacking: (why) => reject(new Error(why)) },
            },
          );
        });
      } finally {
        client.close();
      }
    };
    expect(await ask("giver", giving)).toEqual(data);
    expect(await ask("taker", taking)).toMatchObject({
      node: "giver",
      address: expect.stringMatching(/^hob:\/\/127\.0\.0\.\d+:4321$/),
    });
  });

  test("a certificate is renewed while control runs, before it ends; and one from elsewhere serves as well", async () => {
    const { state } = world.place;
    const renewed: { cert: string }[] = [];
    const dayMs = 24 * 3_600_000;
    const parts = {
      state,
      given: undefined,
      file: "control",
      names: [controlName],
      lookEveryMs: 60_000,
      renewed: (current: { cert: string }) => void renewed.push(current),
      log: silentLog,
    };
    using soon = await openServerIdentity({ ...parts, now: () => Date.now() + 50 * dayMs });
    using later = await openServerIdentity({ ...parts, now: () => Date.now() + 70 * dayMs });
    expect(soon.pin).toBe(later.pin);
    expect(soon.current.cert).not.toBe(later.current.cert);
    const [key, certificate] = [join(world.place.folder, "given.key"), join(world.place.folder, "given.crt")];
    const certify = (...how: string[]) => {
      const about = ["-days", "30", "-subj", "/CN=given", "-addext", "subjectAltName=DNS:localhost", "-out", certificate];
      execFileSync("openssl", ["req", "-x509", "-nodes", ...how, ...about], { stdio: "ignore" });
    };
    certify("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key);
    await using other = await makeNetworkPlace({ given: { key, certificate }, lookEveryMs: 50 });
    const given = { ...(await other.url("client")), host: "localhost" };
    introduce(networkAddress(given), { authority: await fetchAuthority(given), token: given.token });
    expect(await whoAmI(networkAddress(given))).toMatchObject({ scope: "client" });
    certify("-key", key);
    await other.logged.of(({ msg }) => msg === "the certificate was renewed");
    expect(await fetchAuthority(given)).toBe(new X509Certificate(readFileSync(certificate)).toString());
    const wrongName = { ...given, host: "127.0.0.1" };
    introduce(networkAddress(wrongName), { authority: await fetchAuthority(given), token: given.token });
    await expect(whoAmI(networkAddress(wrongName))).rejects.toThrow(/IP: 127.0.0.1 is not in the cert's list/);
  });
});
