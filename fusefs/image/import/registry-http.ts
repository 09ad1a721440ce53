// ⑤ Requests to a registry: proxies of the environment, redirects that do not carry credentials along, an end to silence.

import { once } from "node:events";
import http, { type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import https from "node:https";
import tls from "node:tls";
import { errnoOf, HobError } from "../../../base/errors.ts";

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Who answered, which after a redirect is another. */
  host: string;
  body: IncomingMessage;
}

interface HttpRequest {
  headers?: Record<string, string>;
  /** Sent with POST, as a form. */
  form?: URLSearchParams;
  signal?: AbortSignal | undefined;
}

export interface RegistryHttp extends Disposable {
  /** The answer to the last of any redirects; its body must be read or destroyed. */
  request(url: URL, request: HttpRequest): Promise<HttpAnswer>;
}

const silenceMs = 60_000;
const mostRedirects = 5;

export function isLoopback(hostname: string): boolean {
  const plain = hostname.replace(/^\[|\]$/g, "");
  return plain === "localhost" || plain.endsWith(".localhost") || plain === "::1" || /^127\.\d+\.\d+\.\d+$/.test(plain);
}

/** Node's own authorities and the machine's: a company's registry is signed by a company's authority. */
const authorities = (): string[] => [...new Set([...tls.getCACertificates("default"), ...tls.getCACertificates("system")])];

export function createRegistryHttp(): RegistryHttp {
  const shared = { keepAlive: true, timeout: silenceMs };
  const proxyEnv = process.env;
  const agents = new Map<string, http.Agent>();
  function agentFor({ protocol, hostname }: URL): http.Agent {
    // As other programs have it, no proxy stands between a machine and itself.
    const direct = isLoopback(hostname);
    const key = `${protocol}${direct}`;
    let agent = agents.get(key);
    if (!agent) {
      const options = direct ? shared : { ...shared, proxyEnv };
      agent = protocol === "http:" ? new http.Agent(options) : new https.Agent({ ...options, ca: authorities() });
      agents.set(key, agent);
    }
    return agent;
  }

  async function send(url: URL, { headers, form, signal }: HttpRequest): Promise<HttpAnswer> {
    const sent = moduleFor(url).request(url, {
      method: form ? "POST" : "GET",
      agent: agentFor(url),
      headers: { "user-agent": "hob", ...headers, ...(form ? { "content-type": "application/x-www-form-urlencoded" } : {}) },
      timeout: silenceMs,
      ...(signal ? { signal } : {}),
    });
    sent.once("timeout", () => sent.destroy(silence(url)));
    sent.end(form?.toString());
    const [body] = (await once(sent, "response")) as [IncomingMessage];
    // From here on errors belong to the body, whoever reads it; a request that ends early must not bring the process down.
    sent.on("error", (error) => body.destroy(error));
    return { status: body.statusCode ?? 0, headers: body.headers, host: url.host, body };
  }

  return {
    async request(url, request) {
      let at = url;
      let { headers } = request;
      for (let redirects = 0; ; redirects++) {
        const answer = await send(at, { ...request, ...(headers ? { headers } : {}) });
        const { location } = answer.headers;
        if (![301, 302, 303, 307, 308].includes(answer.status) || !location) return answer;
        answer.body.destroy();
        if (redirects === mostRedirects) throw new HobError("unavailable", `${url.host} redirects without an end`);
        const to = new URL(location, at);
        const downgraded = at.protocol === "https:" && to.protocol !== "https:";
        if (downgraded || !/^https?:$/.test(to.protocol)) {
          throw new HobError(
            "unavailable",
            `${url.host} redirects to ${to.protocol}//${to.host}, which is less safe than it is itself`,
          );
        }
        if (to.host !== at.host && headers) {
          const { authorization: _, ...rest } = headers;
          headers = rest;
        }
        at = to;
      }
    },
    [Symbol.dispose]() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

const moduleFor = ({ protocol }: URL): typeof http | typeof https => (protocol === "http:" ? http : https);

function silence({ host }: URL): Error {
  return Object.assign(new Error(`${host} has said nothing for ${silenceMs / 1000} s`), { code: "ETIMEDOUT" });
}

const brokenConnections = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "HPE_INVALID_CONSTANT",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

/** A connection that broke, rather than one that can never be. */
export const isBroken = (error: unknown): boolean => brokenConnections.has(errnoOf(error) ?? "");

/** What a person is told of a connection that could not be made or kept. */
export function connectionError(registry: string, error: unknown): HobError {
  const code = errnoOf(error) ?? "";
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof HobError) return error;
  if (code === "EPROTO" || /WRONG_VERSION_NUMBER|packet length too long/.test(`${code} ${text}`)) {
    const remedy = `if it speaks plain HTTP, name it in HOB_INSECURE_REGISTRIES where the agent is started`;
    return new HobError("unavailable", `the registry ${registry} does not speak TLS`, { cause: error, remedy });
  }
  if (/CERT|SIGNATURE|ISSUER/.test(code)) {
    const remedy = "add its authority to the machine's certificates (update-ca-certificates), or to NODE_EXTRA_CA_CERTS";
    return new HobError("unavailable", `the certificate of the registry ${registry} is not trusted: ${text}`, {
      cause: error,
      remedy,
    });
  }
  const remedy = "check the name, the network, and HTTPS_PROXY and NO_PROXY where the agent is started";
  return new HobError("unavailable", `the registry ${registry} cannot be reached: ${text}`, { cause: error, remedy });
}
