// ④ What comes in by HTTP: who sends it, where it goes, and its body, within bounds.

import type { IncomingMessage, ServerResponse } from "node:http";
import { HobError } from "../../base/errors.ts";
import type { HttpHeader } from "../../proto/gen/hob/v1/common.ts";
import type { Tokens } from "../access/tokens.ts";
import type { Door, Visitor } from "./permit.ts";

export interface Visit {
  request: IncomingMessage;
  response: ServerResponse;
  visitor: Visitor;
  method: string;
  /** As it was sent, without the query. */
  path: string;
  /** As it was sent, without "?". */
  query: string;
}

const bearer = /^Bearer (hob_\S+)$/i;

export function visitOf(request: IncomingMessage, response: ServerResponse, door: Door, tokens: Tokens): Visit {
  const { url = "/", method = "GET", headers } = request;
  const mark = url.indexOf("?");
  const shown = headers["hob-token"] ?? bearer.exec(headers.authorization ?? "")?.[1];
  const visitor: Visitor = {
    door,
    token: typeof shown === "string" ? tokens.check(shown) : undefined,
    host: headers.host ?? "",
    origin: headers.origin,
  };
  return {
    ...{ request, response, visitor, method },
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? "" : url.slice(mark + 1),
  };
}

/** Of one connection, or ours: RFC 9110, 7.6.1. */
const ours = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "hob-token",
]);

/** Those that are the function's business: what let the request in is not. */
export function headersFor({ request }: Visit): HttpHeader[] {
  const headers: HttpHeader[] = [];
  const raw = request.rawHeaders;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = raw[at + 1]!;
    if (ours.has(name) || (name === "authorization" && bearer.test(value))) continue;
    headers.push({ name, value });
  }
  return headers;
}

/** A body over its limit. */
export class TooLarge extends HobError {}

const written = (bytes: number): string => (bytes >= 1 << 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${bytes} bytes`);

/** The whole body; throws TooLarge as soon as it is known to be over the limit, and HobError "cancelled" when its sender has gone. */
export async function bodyOf({ request, path }: Pick<Visit, "request" | "path">, mostBytes: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  const tooLarge = (): TooLarge =>
    new TooLarge("usage", `the body for ${path} is over its limit of ${written(mostBytes)}`, {
      remedy: "send less, or declare the endpoint with a larger max_body",
    });
  if (announced > mostBytes) throw tooLarge();
  if (!hasBody(request)) return none;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const pieces: Buffer[] = [];
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    bytes += piece.byteLength;
    if (bytes > mostBytes) reject(tooLarge());
    else pieces.push(piece);
  });
  request.once("end", () => resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)));
  request.once("close", () => reject(new HobError("cancelled", "the request ended before its body")));
  request.once("error", (cause) => reject(new HobError("cancelled", "the request broke", { cause })));
  return promise;
}

const none = Buffer.alloc(0);

/** One without is complete as well, but says so only after it has been handed over. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;

/** Answers with JSON, and closes the connection where what was sent has not been read. */
export function answerJson(
  visit: Pick<Visit, "request" | "response">,
  status: number,
  value: unknown,
  more: Record<string, string> = {},
): void {
  const { request, response } = visit;
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  const unread = !request.complete && hasBody(request) ? { connection: "close" } : {};
  response.writeHead(status, { "content-type": "application/json", "content-length": body.byteLength, ...unread, ...more });
  response.end(body);
}

/** Every refusal and failure of the gateway's own has this shape. */
export function answerError(
  visit: Pick<Visit, "request" | "response">,
  status: number,
  error: { kind: string; message: string; type?: string; call?: string },
  more: Record<string, string> = {},
): void {
  answerJson(visit, status, { error }, more);
}
