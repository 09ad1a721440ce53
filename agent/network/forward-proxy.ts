// ⑤ The way of builds to package mirrors: an HTTP proxy on the containers' gateway that serves the builds of the moment, and nobody else.

import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import { sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { configuredHost, type Reach, type Route, routeOf, type Target, type Upstream } from "./reach.ts";
import { proxyPort } from "./rules.ts";
import { findUplinks } from "./uplinks.ts";

export interface ForwardProxy extends Disposable {
  /** Serves the container of that address, as far as `reach` goes, until disposed of; then what it has open ends too. */
  admit(address: string, reach: Reach): Disposable;
}

const connectionsAtOnce = 512;
const idleMs = 120_000;
const dialMs = 15_000;

async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host)) return [host];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return []; // a name that only the node's own proxy knows
  }
}

async function decide(reach: Reach, target: Target): Promise<Route> {
  const addresses = configuredHost(reach, target) ? [] : await addressesOf(target.host);
  const { names, neighbours } = findUplinks();
  const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  return routeOf(reach, target, { addresses, neighbours, own, uplink: names.length > 0 });
}

const authorization = ({ credentials }: Upstream): Record<string, string> =>
  credentials === "" ? {} : { "proxy-authorization": `Basic ${Buffer.from(credentials).toString("base64")}` };

function unbracketed(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

/** "HOST:PORT" of a CONNECT. */
function connectTarget(text: string): Target | undefined {
  const parts = /^(.+):(\d{1,5})$/.exec(text);
  return parts ? { scheme: "https", host: unbracketed(parts[1] ?? ""), port: Number(parts[2]) } : undefined;
}

function requestTarget(text: string | undefined): { target: Target; url: URL } | undefined {
  if (!text || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== "http:") return undefined;
  return { target: { scheme: "http", host: unbracketed(url.hostname), port: Number(url.port) || 80 }, url };
}

/** Of one hop only: RFC 9110, 7.6.1. */
const hopHeaders = new Set(["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade"]);

function passedHeaders({ headers }: IncomingMessage): IncomingMessage["headers"] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopHeaders.has(name)));
}

export async function startForwardProxy(address: string, log: Log): Promise<ForwardProxy> {
  const admitted = new Map<string, Reach>();
  const open = new Set<Duplex>();
  /** What no answer tells: the connection ends. */
  const guard = (work: Promise<void>, client: Duplex): void => {
    work.catch((error) => {
      log.warn({ error: sentenceOf(error) }, "forward proxy");
      client.destroy();
    });
  };
  const server = createServer((incoming, response) => guard(pass(incoming, response), incoming.socket));
  server.maxConnections = connectionsAtOnce;

  function keep(stream: Socket): void {
    open.add(stream);
    stream.once("close", () => open.delete(stream)).on("error", () => stream.destroy());
    stream.setTimeout(idleMs, () => stream.destroy());
  }

  const reachOf = ({ socket }: IncomingMessage): Reach | undefined => admitted.get(socket.remoteAddress ?? "");

  function refuse(response: ServerResponse, status: number, reason: string): void {
    if (!response.headersSent) response.writeHead(status, { "content-type": "text/plain", connection: "close" });
    response.end(`hob: ${reason}\n`);
  }

  async function pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const reach = reachOf(incoming);
    const asked = requestTarget(incoming.url);
    if (!reach || !asked) return refuse(response, 400, "this is a proxy for http and, by CONNECT, for anything else");
    const route = await decide(reach, asked.target);
    if (route.kind === "refused") return refuse(response, 403, route.reason);
    const { url } = asked;
    const headers = passedHeaders(incoming);
    const away =
      route.kind === "direct"
        ? { host: route.host, port: route.port, path: `${url.pathname}${url.search}`, headers: { ...headers, host: url.host } }
        : {
            ...{ host: route.upstream.host, port: route.upstream.port, path: url.href },
            headers: { ...headers, ...authorization(route.upstream) },
          };
    const outgoing = request({ ...away, method: incoming.method, agent: false, timeout: idleMs });
    outgoing.on("socket", keep);
    outgoing.on("timeout", () => outgoing.destroy(new Error("it did not answer")));
    outgoing.on("error", (error) => refuse(response, 502, `${asked.target.host}: ${error.message}`));
    outgoing.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, passedHeaders(answer));
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  }

  async function dial(route: Exclude<Route, { kind: "refused" }>, { host, port }: Target): Promise<Socket> {
    const upstream = route.kind === "through" ? route.upstream : route;
    const socket = connect({ host: upstream.host, port: upstream.port });
    keep(socket);
    await once(socket, "connect", { signal: AbortSignal.timeout(dialMs) });
    if (route.kind === "direct") return socket;
    const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const outgoing = request({
      ...{ createConnection: () => socket, method: "CONNECT", path: authority },
      headers: { host: authority, ...authorization(route.upstream) },
    });
    outgoing.end();
    const [answer] = (await once(outgoing, "connect", { signal: AbortSignal.timeout(dialMs) })) as [IncomingMessage];
    if (answer.statusCode !== 200) throw new Error(`the node's proxy answered ${answer.statusCode} ${answer.statusMessage}`);
    return socket;
  }

  async function tunnel(incoming: IncomingMessage, client: Socket, head: Buffer): Promise<void> {
    const answer = (status: string, reason: string): void => void client.end(`HTTP/1.1 ${status}\r\n\r\nhob: ${reason}\n`);
    const reach = reachOf(incoming);
    const target = connectTarget(incoming.url ?? "");
    if (!reach || !target) return answer("400 Bad Request", "CONNECT wants HOST:PORT");
    const route = await decide(reach, target);
    if (route.kind === "refused") return answer("403 Forbidden", route.reason);
    try {
      const far = await dial(route, target);
      far.on("close", () => client.destroy());
      client.on("close", () => far.destroy());
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (head.length > 0) far.write(head);
      far.pipe(client).pipe(far);
    } catch (error) {
      answer("502 Bad Gateway", `${target.host}: ${sentenceOf(error)}`);
    }
  }

  server.on("connection", (socket: Socket) => {
    if (!admitted.has(socket.remoteAddress ?? "")) return void socket.destroy();
    keep(socket);
  });
  server.on("connect", (incoming: IncomingMessage, client: Socket, head: Buffer) =>
    guard(tunnel(incoming, client, head), client),
  );
  try {
    server.listen(proxyPort, address);
    await once(server, "listening");
  } catch (error) {
    throw systemError(`listening for builds at ${address}`, error);
  }
  server.on("error", (error) => log.warn({ error: error.message }, "forward proxy"));
  const end = (stream: Duplex): void => void stream.destroy();
  return {
    admit(client, reach) {
      admitted.set(client, reach);
      return {
        [Symbol.dispose]() {
          admitted.delete(client);
          for (const stream of open) if ((stream as Socket).remoteAddress === client) end(stream);
        },
      };
    },
    [Symbol.dispose]() {
      server.close();
      for (const stream of open) end(stream);
    },
  };
}
