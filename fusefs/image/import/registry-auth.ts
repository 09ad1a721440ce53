// ⑤ Tokens and passwords for a registry. Distribution spec, "Token Authentication" and "OAuth2 Token Authentication"; RFC 7617, Basic.

import type { RegistryCredential } from "../../../proto/gen/hob/v1/common.ts";
import { parseJson } from "./oci.ts";
import type { RegistryHttp } from "./registry-http.ts";

export interface Challenge {
  scheme: string; // lower case
  parameters: Record<string, string>;
}

/** The challenges of a WWW-Authenticate header (RFC 9110, section 11.6.1). */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const token =
    /\s*,?\s*(?:([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|,|$))/y;
  for (let match = token.exec(header); match; match = token.exec(header)) {
    const [, key, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    else {
      const value = quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1");
      const current = challenges.at(-1);
      if (current && key) current.parameters[key.toLowerCase()] = value;
    }
  }
  return challenges;
}

export interface Authorizer {
  /** What to send along, as far as is known. */
  header(): string | undefined;
  /** After a 401 to a request with the header `sent`: gets what its challenge asks for. False where nothing more can be done. */
  answer(challengeHeader: string, sent: string | undefined, signal?: AbortSignal): Promise<boolean>;
}

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

const mostTokenBytes = 1 << 20;

interface Access {
  credential: RegistryCredential | undefined;
  scope: string;
  /** The registry speaks TLS: then its token server does, or gets nothing from us. */
  secure: boolean;
}

/** For one repository of one registry: so there is one scope, and one token at a time. */
export function createAuthorizer(http: RegistryHttp, { credential, scope, secure }: Access): Authorizer {
  let current: string | undefined;
  let renewal: Promise<boolean> | undefined; // shared by all requests that were refused

  async function readToken(url: URL, request: Parameters<RegistryHttp["request"]>[1]): Promise<string | undefined> {
    const answer = await http.request(url, request);
    if (answer.status !== 200) {
      answer.body.destroy();
      return undefined;
    }
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const piece of answer.body as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > mostTokenBytes) break;
      parts.push(piece);
    }
    const json = parseJson(Buffer.concat(parts), "the answer of its token server");
    const token = json["token"] ?? json["access_token"];
    return typeof token === "string" ? `Bearer ${token}` : undefined;
  }

  async function fetchToken({ parameters }: Challenge, signal?: AbortSignal): Promise<string | undefined> {
    const realm = parameters["realm"];
    if (!realm || !URL.canParse(realm)) return undefined;
    const url = new URL(realm);
    if (secure && url.protocol !== "https:") return undefined;
    const service = parameters["service"] ?? "";
    const wanted = parameters["scope"] ?? scope;
    if (credential?.identityToken) {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        service,
        scope: wanted,
        client_id: "hob",
        refresh_token: credential.identityToken,
      });
      return await readToken(url, { form, signal });
    }
    if (service) url.searchParams.set("service", service);
    url.searchParams.set("scope", wanted);
    const headers = credential?.username ? { authorization: basic(credential.username, credential.password) } : {};
    return await readToken(url, { headers, signal });
  }

  async function renew(challengeHeader: string, signal?: AbortSignal): Promise<boolean> {
    const challenges = parseChallenges(challengeHeader);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const before = current;
    if (bearer) current = await fetchToken(bearer, signal);
    else if (challenges.some(({ scheme }) => scheme === "basic") && credential?.username) {
      current = basic(credential.username, credential.password);
    }
    return current !== undefined && current !== before;
  }

  return {
    header: () => current,
    async answer(challengeHeader, sent, signal) {
      if (sent !== current) return true; // renewed while this request was on its way
      renewal ??= renew(challengeHeader, signal).finally(() => {
        renewal = undefined;
      });
      return await renewal;
    },
  };
}
