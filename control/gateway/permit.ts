// ④ Who may ask what of the gateway. Pure.

import type { Endpoint } from "../../proto/gen/hob/v1/common.ts";
import type { TokenInfo } from "../../proto/gen/hob/v1/members.ts";

/** By which door a request has come: control's own socket for HTTP, of which the mode is the lock; a loopback address; or the network. */
export type Door = "socket" | "loopback" | "network";

export interface Visitor {
  door: Door;
  /** Whose token it shows; a sentence for one that is not good; undefined for none. */
  token: TokenInfo | string | undefined;
  host: string;
  /** Of the page that sends it, where a browser says so. */
  origin: string | undefined;
}

export interface Refusal {
  status: number;
  message: string;
}

const calling = new Set(["client", "call"]);
const loopback = /^(?:localhost|[\w-]+\.localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i;

const needsToken: Refusal = {
  status: 401,
  message: "this needs a token, as the header `authorization: Bearer TOKEN`: make one with `hob pool token create --scope call`",
};

function byToken({ token }: Visitor, scopes: ReadonlySet<string>): Refusal | undefined {
  if (token === undefined) return needsToken;
  if (typeof token === "string") return { status: 401, message: `${token}: ask for another` };
  if (scopes.has(token.scope)) return undefined;
  const message = `token ${token.id} has the scope ${token.scope}, and this takes ${[...scopes].join(" or ")}`;
  return { status: 403, message };
}

/** What is open on a loopback address is open to programs of this machine, not to pages of the web that a browser on it shows. */
function foreign({ host, origin }: Visitor): Refusal | undefined {
  if (!loopback.test(host)) return { status: 403, message: `"${host}" is not a name of this machine: ask for 127.0.0.1` };
  if (origin === undefined || origin === `http://${host}`) return undefined;
  return { status: 403, message: `pages of ${origin} may not ask this: declare the endpoint with public=True to let everybody` };
}

/** Why it may not call the endpoint; undefined where it may. */
export function endpointRefusal({ access }: Endpoint, visitor: Visitor): Refusal | undefined {
  if (access === "public" || visitor.door === "socket") return undefined;
  if (access === "" && visitor.door === "loopback" && visitor.token === undefined) return foreign(visitor);
  return byToken(visitor, calling);
}

/** Of the REST interface, `reading` is what changes nothing. */
export function restRefusal(visitor: Visitor, reading: boolean): Refusal | undefined {
  return visitor.door === "socket" ? undefined : byToken(visitor, reading ? new Set([...calling, "read-only"]) : calling);
}

/** Figures about the pool: whoever is on this machine, and elsewhere whoever may read. */
export function metricsRefusal(visitor: Visitor): Refusal | undefined {
  if (visitor.door === "socket" || (visitor.door === "loopback" && visitor.token === undefined)) return undefined;
  return byToken(visitor, new Set([...calling, "read-only"]));
}
