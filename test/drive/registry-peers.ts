// Peers of the importer: the distribution's registry on loopback, its token server, a relay between the two that does harm, images by umoci.

import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash, sign } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

export const login = { username: "reader", password: "secret" } as const;

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ server: Server; port: number }> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Gives tokens to who knows the login; counts what it was asked for. Distribution, "Token Authentication Implementation". */
async function startTokenServer(folder: string) {
  const key = join(folder, "token.key");
  const certificate = join(folder, "token.crt");
  const subject = ["-subj", "/CN=hob test tokens", "-days", "2", "-nodes"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...subject, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const privateKey = await readFile(key, "utf8");
  const x5c = [(await readFile(certificate, "utf8")).replace(/-----.*-----|\s/g, "")];
  const asked: string[] = [];
  const { server, port } = await listen((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    asked.push(url.searchParams.get("scope") ?? "");
    const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
    if (request.headers.authorization !== expected) {
      response.writeHead(401).end();
      return;
    }
    const access = url.searchParams.getAll("scope").map((scope) => {
      const [type, name, actions = ""] = scope.split(":");
      return { type, name, actions: actions.split(",") };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: "hob-test", aud: "registry", sub: login.username, nbf: now - 60, iat: now, exp: now + 300, access };
    const signed = `${base64url({ typ: "JWT", alg: "ES256", x5c })}.${base64url({ ...claims, jti: String(asked.length) })}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url");
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ token: `${signed}.${signature}`, expires_in: 300 }));
  });
  return { certificate, port, asked, [Symbol.asyncDispose]: () => stop(server) };
}

/** Harm to the answer for a blob or a manifest: what to do with its body, or which status to give instead. */
interface Harm {
  status?: number;
  body?: Buffer;
  headers?: Record<string, string>;
  /** Ends the connection after so many bytes of the body. */
  cutAfter?: number;
  /** Changes this byte of the body. */
  alterAt?: number;
  ignoreRange?: boolean;
}

export interface Relay extends AsyncDisposable {
  host: string;
  /** Asked for each request; nothing is no harm. */
  harm: (request: { path: string; range: string | undefined }) => Harm | undefined;
  requests: { path: string; range: string | undefined; authorization: string | undefined }[];
}

/** Between the importer and a registry. */
export async function startRelay(port: number): Promise<Relay> {
  const relay = { host: "", harm: () => undefined, requests: [] } as unknown as Relay;
  const { server, port: own } = await listen((incoming, outgoing) => {
    const path = incoming.url ?? "/";
    const { range, authorization } = incoming.headers;
    relay.requests.push({ path, range, authorization });
    const harm = relay.harm({ path, range }) ?? {};
    if (harm.status) {
      outgoing.writeHead(harm.status, harm.headers).end(harm.body);
      return;
    }
    const { range: _, ...others } = incoming.headers;
    const headers = harm.ignoreRange ? others : incoming.headers;
    const target = path.replace(/^http:\/\/[^/]*/, ""); // a proxy is asked for whole addresses
    const onward = request({ host: "127.0.0.1", port, path: target, method: incoming.method ?? "GET", headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      let at = 0;
      answer.on("data", (piece: Buffer) => {
        const { alterAt, cutAfter } = harm;
        if (alterAt !== undefined && alterAt >= at && alterAt < at + piece.length) (piece[alterAt - at] as number) ^= 1;
        at += piece.length;
        if (cutAfter === undefined || at <= cutAfter) outgoing.write(piece);
        else outgoing.write(piece.subarray(0, piece.length - (at - cutAfter)), () => outgoing.destroy());
      });
      answer.on("end", () => outgoing.end());
      answer.on("error", () => outgoing.destroy());
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  relay.host = `127.0.0.1:${own}`;
  relay[Symbol.asyncDispose] = () => stop(server);
  return relay;
}

/** Starts docker-registry; its first log lines say where it listens. */
async function startDockerRegistry(folder: string, auth: object) {
  const file = join(folder, `registry-${createHash("sha256").update(JSON.stringify(auth)).digest("hex").slice(0, 8)}.json`);
  const storage = { filesystem: { rootdirectory: join(folder, "registry") } };
  // JSON is YAML; port 0 is a free one.
  await writeFile(file, JSON.stringify({ version: 0.1, log: { level: "info" }, storage, http: { addr: "127.0.0.1:0" }, auth }));
  const process = spawn("docker-registry", ["serve", file], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  for await (const line of createInterface(process.stderr)) {
    said += `${line}\n`;
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (!port) continue;
    process.stderr.resume();
    return {
      port: Number(port),
      async [Symbol.asyncDispose]() {
        const ended = once(process, "exit");
        process.kill("SIGKILL");
        await ended;
      },
    };
  }
  throw new Error(`docker-registry has not started: ${said}`);
}

export interface RegistryPeers extends AsyncDisposable {
  /** Wants tokens. */
  tokens: { port: number; asked: string[] };
  /** Wants a password; has the same images. */
  basic: { port: number };
  /** Copies an image into both; the token server in this process must go on meanwhile. */
  push(source: string, name: string, ...options: string[]): Promise<unknown>;
}

export async function startRegistryPeers(folder: string): Promise<RegistryPeers> {
  await using stack = new AsyncDisposableStack();
  await mkdir(folder, { recursive: true });
  const server = stack.use(await startTokenServer(folder));
  const token = {
    realm: `http://127.0.0.1:${server.port}/token`,
    service: "registry",
    issuer: "hob-test",
    rootcertbundle: server.certificate,
  };
  const tokens = stack.use(await startDockerRegistry(folder, { token }));
  // bcrypt of the password, as htpasswd -B has it
  await writeFile(join(folder, "htpasswd"), `${login.username}:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n`);
  const basic = stack.use(await startDockerRegistry(folder, { htpasswd: { realm: "hob", path: join(folder, "htpasswd") } }));
  const all = stack.move();
  return {
    tokens: { port: tokens.port, asked: server.asked },
    basic: { port: basic.port },
    push(source, name, ...options) {
      const credentials = ["--dest-creds", `${login.username}:${login.password}`, "--dest-tls-verify=false"];
      const words = ["copy", "--quiet", ...options, ...credentials, source, `docker://127.0.0.1:${tokens.port}/${name}`];
      return promisify(execFile)("skopeo", words, { timeout: 60_000 });
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}
