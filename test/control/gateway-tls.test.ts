// ④ The gateway on the network: TLS, whose certificate vouches for it, and tokens, seen by Node, by curl and by the Python SDK.

import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { pino } from "pino";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { makeAuthority, makeServerCertificate } from "../../control/access/certificates.ts";
import { parseNetworkUrl } from "../../proto/address.ts";
import { type CreateTokenResponse, MembersClient } from "../../proto/gen/hob/v1/members.ts";
import { clientCredentials, unixAddress } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { Arrivals, makePlace, makePublish, openSession, publishAndLoad, startControl } from "./harness.ts";
import { asked } from "./network-place.ts";

const run = promisify(execFile);

interface Ask {
  port: string;
  path: string;
  ca?: string;
  token?: string;
}

async function get({ port, path, ca, token }: Ask): Promise<{ status: number | undefined; text: string }> {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const [response] = await once(request({ host: "127.0.0.1", port, path, ca, headers, agent: false }).end(), "response");
  return { status: response.statusCode, text: await text(response) };
}

test("on the network endpoints and REST are served by TLS, to who trusts the pool's authority and has a token", async () => {
  using place = makePlace();
  const { promise: ready, resolve } = Promise.withResolvers<string>();
  const http = { host: "0.0.0.0", port: 0, names: ["gateway.example"], ready: resolve };
  await using _control = await startControl(place, { http, network: { host: "127.0.0.1", port: 0 } });
  const url = await ready;
  const { port, hostname } = new URL(url);
  expect([url.slice(0, 8), hostname]).toEqual(["https://", "gateway.example"]);
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  const endpoint = { kind: "function", path: "/price", methods: ["GET"] };
  const open = { ...endpoint, path: "/open", access: "public" };
  const publish = makePublish("v1", [{ name: "price", endpoint }, { name: "open", endpoint: open }, { name: "plain" }]);
  await publishAndLoad(session, publish);
  const owner = new MembersClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), {});
  const tokenOf = (scope: string) =>
    asked<CreateTokenResponse>((done) => owner.createToken({ scope, note: "", expiresInMs: 0 }, done)).then(({ url: told }) =>
      told.startsWith("hob://") ? parseNetworkUrl(told).token : told,
    );
  const file = join(place.state, "access", "authority.crt");
  const ca = readFileSync(file, "utf8");
  const [call, reader] = [await tokenOf("call"), await tokenOf("read-only")];

  await expect(get({ port, path: "/healthz" })).rejects.toThrow(/self-signed certificate|unable to verify/);
  const statuses = async (path: string) => {
    const each = [undefined, "hob_1_x", reader, call].map((token) => get({ port, path, ca, ...(token ? { token } : {}) }));
    return (await Promise.all(each)).map(({ status }) => status);
  };
  expect(await statuses("/shop/price")).toEqual([401, 401, 403, 200]);
  expect(await statuses("/shop/open")).toEqual([200, 200, 200, 200]);
  expect(await statuses("/metrics")).toEqual([401, 401, 200, 200]);
  expect(await statuses("/v1/apps")).toEqual([401, 401, 200, 200]);

  // By the name that its URL says, as anybody's program asks.
  const curl = ["--silent", "--show-error", "--fail", "--cacert", file, "--resolve", `gateway.example:${port}:127.0.0.1`];
  const { stdout } = await run("curl", [...curl, "--header", `hob-token: ${call}`, `${url}/shop/price`]);
  expect(stdout).toBe(publish.versions[0]!.digest);
  await expect(run("curl", [...curl, `${url.replace("https", "http")}/healthz`])).rejects.toThrow();
  const script = 'import hob; print(hob.Function.from_name("shop", "plain").remote("over TLS"))';
  const environment = { PYTHONPATH: join(installRoot, "sdk/python"), HOB_CA: file, HOB_TOKEN: call };
  const python = (address: string) => run("/usr/bin/python3", ["-c", script], { env: { ...environment, HOB_URL: address } });
  expect((await python(`https://127.0.0.1:${port}`)).stdout).toBe("over TLS\n");
  owner.close();
});

test("a certificate from elsewhere is shown instead, and another one of it to who connects once it has been put there", async () => {
  using place = makePlace();
  const authority = await makeAuthority(Date.now());
  const given = { key: join(place.folder, "given.key"), certificate: join(place.folder, "given.crt") };
  const put = async (): Promise<string> => {
    const made = await makeServerCertificate(authority, ["localhost", "127.0.0.1"], Date.now());
    writeFileSync(given.key, made.key);
    writeFileSync(given.certificate, made.certificate + authority.certificate);
    return new X509Certificate(made.certificate).fingerprint256;
  };
  const first = await put();
  const logged = new Arrivals<{ msg: string }>();
  const log = pino({ level: "info" }, { write: (line: string) => logged.add(JSON.parse(line) as { msg: string }) });
  const { promise: ready, resolve } = Promise.withResolvers<string>();
  const http = { host: "0.0.0.0", port: 0, names: ["127.0.0.1"], given, lookEveryMs: 20, ready: resolve };
  await using _control = await startControl(place, { http, log });
  const { port } = new URL(await ready);
  const shown = async (): Promise<string | undefined> => {
    const socket = connect({ host: "127.0.0.1", port: Number(port), ca: authority.certificate });
    await once(socket, "secureConnect");
    const { fingerprint256 } = socket.getPeerX509Certificate()!;
    socket.destroy();
    return fingerprint256;
  };
  expect(await shown()).toBe(first);
  const second = await put();
  await logged.of(({ msg }) => msg === "the certificate was renewed");
  expect([second === first, await shown()]).toEqual([false, second]);
});
