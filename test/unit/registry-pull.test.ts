// ⑤ What registries do in the middle of a pull: tokens that run out, ranges that are refused, answers from elsewhere that ask for a login.

import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { type Descriptor, parseDocument } from "../../fusefs/image/import/oci.ts";
import { openRepository } from "../../fusefs/image/import/registry.ts";

const layer = randomBytes(300_000);
const digest = createHash("sha256").update(layer).digest("hex");
const descriptor: Descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: layer.length };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(answer: Answer): Promise<{ host: string } & AsyncDisposable> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function pulled(host: string): Promise<Buffer> {
  const credentials = [{ registry: host, username: "reader", password: "secret", identityToken: "" }];
  using repository = openRepository(
    { registry: host, repository: "team/app", tag: "1", digest: "" },
    { credentials, insecure: [] },
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of repository.blob(descriptor)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Some of the layer, then the end of the connection. */
function cutOff(response: ServerResponse, from: number, to: number): void {
  response.writeHead(from > 0 ? 206 : 200, {
    "content-length": layer.length - from,
    ...(from > 0 ? { "content-range": `bytes ${from}-${layer.length - 1}/${layer.length}` } : {}),
  });
  response.write(layer.subarray(from, to), () => response.destroy());
}

const rangeOf = ({ headers }: IncomingMessage): number => Number(/bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0);

it("a token that runs out in the middle of a layer is renewed, and the layer goes on where it broke", async () => {
  let tokens = 0;
  const asked: string[] = [];
  await using registry = await serve((request, response) => {
    if (request.url?.startsWith("/token")) {
      asked.push(`${request.headers.authorization} ${new URL(request.url, "http://x").searchParams.get("scope")}`);
      return response.end(JSON.stringify({ token: `token-${++tokens}`, expires_in: 1 }));
    }
    if (tokens === 0 || request.headers.authorization !== `Bearer token-${tokens}`) {
      const realm = `Bearer realm="http://${registry.host}/token",service="r",scope="repository:team/app:pull"`;
      return response.writeHead(401, { "www-authenticate": realm }).end();
    }
    const from = rangeOf(request);
    if (from > 0) return cutOff(response, from, layer.length);
    cutOff(response, 0, 100_000);
    tokens++; // the first is worth nothing from now on
  });
  expect((await pulled(registry.host)).equals(layer)).toBe(true);
  const login = `Basic ${Buffer.from("reader:secret").toString("base64")} repository:team/app:pull`;
  expect(asked).toEqual([login, login]);
});

it("a registry that refuses a range, or gives another one, sends the layer again from its start", async () => {
  const ranges: number[] = [];
  await using registry = await serve((request, response) => {
    const from = rangeOf(request);
    ranges.push(from);
    if (ranges.length === 1) cutOff(response, 0, 50_000);
    else if (ranges.length === 3) cutOff(response, 0, 100_000);
    else if (from > 0) response.writeHead(416, { "content-range": `bytes */${layer.length}` }).end();
    else response.end(layer);
  });
  expect((await pulled(registry.host)).equals(layer)).toBe(true);
  expect(ranges).toEqual([0, expect.any(Number), 0, 0]);
});

it("where a registry sends us gets no login, and cannot ask for one", async () => {
  const seen: (string | undefined)[] = [];
  await using elsewhere = await serve(({ url, headers }, response) => {
    seen.push(`${url} ${headers.authorization}`);
    response.writeHead(401, { "www-authenticate": `Bearer realm="http://${elsewhere.host}/steal",service="s"` }).end();
  });
  await using registry = await serve(({ headers }, response) => {
    if (headers.authorization) response.writeHead(307, { location: `http://${elsewhere.host}/blob` }).end();
    else response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end();
  });
  await expect(pulled(registry.host)).rejects.toThrow(/refuses blob/);
  expect(seen).toEqual(["/blob undefined"]);
});

it.each([
  [{ schemaVersion: 1, fsLayers: [] }, /old schema 1, which hob does not read/],
  [
    { schemaVersion: 2, config: descriptor, layers: [{ ...descriptor, mediaType: "application/vnd.cncf.helm.chart" }] },
    /is no sha256/,
  ],
  [{ manifests: "none", mediaType: "application/vnd.oci.image.index.v1+json" }, /its index lists no manifests/],
])("a document that is no image's is refused in a sentence (%#)", (document, says) => {
  expect(() => parseDocument(Buffer.from(JSON.stringify(document)), "")).toThrow(says);
});
