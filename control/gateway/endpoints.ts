// ④⑦ Requests to endpoints: each is a call of its function, and the call's answer is the response, whole or as it comes.

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { ContentFolder } from "../../base/content-folder.ts";
import { HobError, sentenceOf } from "../../base/errors.ts";
import { deploymentName } from "../../proto/app-name.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { type FunctionSpec, HttpRequest, type HttpResponse, type Value } from "../../proto/gen/hob/v1/common.ts";
import { StartCall } from "../../proto/gen/hob/v1/registry.ts";
import { headBytes, headOf, inlineValueBytes } from "../../proto/large-value.ts";
import type { Calls } from "../calls.ts";
import type { Clients } from "../clients.ts";
import type { DeploymentRecords } from "../deployments/records.ts";
import type { Nodes } from "../nodes.ts";
import type { Registry } from "../registry.ts";
import type { Values } from "../values.ts";
import { createExchange, type Listener } from "./exchange.ts";
import { answerError, bodyOf, headersFor, TooLarge, type Visit } from "./incoming.ts";
import { endpointRefusal } from "./permit.ts";
import { findRoute, type Match } from "./routes.ts";

/** Where an endpoint does not say: uploads of pictures and documents pass. */
const standardBodyBytes = 16 << 20;
const liveSuffix = "@live";
/** How long a request waits for a container. */
const longestWaitMs = 60_000;
/** A reader is told of again when so much more of a stream has gone out: a quarter of what runners send ahead. */
const tellEveryBytes = 256 << 10;

export interface Endpoints {
  /** `path` begins after the app's name. */
  serve(visit: Visit, app: string, path: string): Promise<void>;
}

export interface EndpointsParts {
  calls: Pick<Calls, "start" | "cancel" | "active">;
  registry: Registry;
  deployments: Pick<DeploymentRecords, "live">;
  nodes: Pick<Nodes, "all">;
  clients: Clients;
  values: Values;
  blobs: Pick<ContentFolder, "path" | "putStream">;
  /** A request has been answered. */
  answered(what: { app: string; function: string; status: number; ms: number }): void;
}

export function createEndpoints(parts: EndpointsParts): Endpoints {
  const { calls, registry, nodes, clients, blobs } = parts;

  /** "APP": what was published last; "APP@live", "APP@3": what was promoted. `target` is what answers, whatever is live once the body has come. */
  function servedBy(app: string): { specs: FunctionSpec[]; target: string } {
    const live = app.endsWith(liveSuffix) ? parts.deployments.live(app.slice(0, -liveSuffix.length)) : undefined;
    const versions = live ? live.functions.flatMap(({ version }) => version ?? []) : registry.current(app);
    return { specs: versions.flatMap(({ spec }) => spec ?? []), target: live ? deploymentName(live.app, live.number) : app };
  }

  async function requestOf(visit: Visit, match: Match, call: string): Promise<HttpRequest> {
    const body = await bodyOf(visit, match.endpoint.maxBodyBytes || standardBodyBytes);
    const { socket } = visit.request;
    const request = HttpRequest.create({
      kind: match.endpoint.kind,
      method: visit.method,
      path: match.rest,
      prefix: match.prefix,
      query: visit.query,
      headers: headersFor(visit),
      parameters: match.parameters,
      origin: `${"encrypted" in socket ? "https" : "http"}://${visit.visitor.host || "localhost"}`,
      client: socket.remoteAddress ?? "",
    });
    if (body.byteLength <= inlineValueBytes) request.body = body;
    else {
      const { digest } = await blobs.putStream([headOf(call), body]);
      request.large = { blob: digest, bytes: body.byteLength, positional: body.byteLength };
    }
    return request;
  }

  function start(visit: Visit, app: string, match: Match, call: { id: string; target: string; request: HttpRequest }): void {
    const { id, target, request } = call;
    const beganAtMs = performance.now();
    const { response } = visit;
    const leave = clients.enter();
    const { name } = match.spec;
    let gone = false;
    let sent = 0;
    let told = 0;

    const tell = (container: string, over: boolean): void => {
      told = sent;
      const node = [...nodes.all.values()].find(({ containers }) => containers.has(container));
      node?.send({ $case: "partsTaken", value: { call: id, container, bytes: sent, gone: over } });
    };
    const patience = setTimeout(() => {
      if (calls.active(id)?.info.state === "queued") calls.cancel(id);
    }, longestWaitMs);
    response.once("close", () => {
      if (ended) return;
      gone = true;
      const active = calls.active(id);
      if (active?.info.state === "queued") calls.cancel(id);
      else if (active?.container) tell(active.container.id, true); // its process goes on: ending it would cost the next caller
    });

    let ended = false;
    const listener: Listener = {
      head(answer, bytes) {
        if (gone || response.headersSent) return;
        // Of an answer to HEAD the function's own word on its length stays.
        if (bytes !== undefined && visit.method !== "HEAD" && bodied(answer)) response.setHeader("content-length", bytes);
        writeHead(visit, answer, id);
      },
      data({ data, container }) {
        if (gone) return tell(container, true);
        response.write(data, () => {
          sent += data.byteLength;
          if (sent - told >= tellEveryBytes) tell(container, false);
        });
      },
      end(info, whole) {
        ended = true;
        clearTimeout(patience);
        leave();
        if (request.large) parts.values.drop(id, request.large);
        if (!gone) void finish(visit, info, whole);
        else if (whole?.large) parts.values.drop(id, whole.large);
        parts.answered({ app, function: name, status: response.statusCode, ms: performance.now() - beganAtMs });
      },
    };
    const shown = Buffer.from(JSON.stringify([`${request.method} ${request.prefix}${request.path}`]));
    calls.start(
      StartCall.fromPartial({ id, app: target, function: name, version: "", origin: "http", arguments: { positional: shown } }),
      "",
      createExchange(request, listener),
    );
    const version = calls.active(id)?.info.version;
    if (version && !response.headersSent) response.setHeader("hob-version", version);
  }

  async function finish({ request, response, visitor }: Visit, info: CallInfo, whole: Value | undefined): Promise<void> {
    if (info.state === "succeeded") {
      if (!whole?.large) return void response.end(whole?.json);
      try {
        await pipeline(createReadStream(blobs.path(whole.large.blob), { start: headBytes }), response);
      } catch {
        response.destroy(); // the reader has gone, or sees that the answer is cut
      } finally {
        parts.values.drop(info.id, whole.large);
      }
      return;
    }
    if (response.headersSent) return void response.destroy(); // nothing else says that the answer is not whole
    const { status, retry } = statusOf(info);
    const { kind = "", type = "", message = "" } = info.failure ?? {};
    // What went wrong inside is for those who may see the pool; others get its number, under which the logs have it.
    const told = visitor.door === "network" && status === 500 ? `the function failed: call ${info.id}` : message;
    const more = { "hob-call": info.id, ...(retry ? { "retry-after": "1" } : {}) };
    answerError({ request, response }, status, { kind, ...(type ? { type } : {}), message: told, call: info.id }, more);
  }

  return {
    async serve(visit, app, path) {
      const { specs, target } = servedBy(app);
      const found = findRoute(specs, app, visit.method, path);
      if (!found) return answerError(visit, 404, { kind: "notFound", message: unknown(app, path, specs) });
      if ("allowed" in found) {
        const message = `/${app}${path} takes ${found.allowed.join(" and ")}, not ${visit.method}`;
        return answerError(visit, 405, { kind: "usage", message }, { allow: found.allowed.join(", ") });
      }
      const refusal = endpointRefusal(found.endpoint, visit.visitor);
      if (refusal)
        return answerError(visit, refusal.status, { kind: "denied", message: refusal.message }, challenge(refusal.status));
      const id = randomBytes(8).toString("hex");
      try {
        start(visit, app, found, { id, target, request: await requestOf(visit, found, id) });
      } catch (error) {
        if (error instanceof TooLarge) answerError(visit, 413, { kind: "usage", message: error.sentence });
        else if (!(error instanceof HobError && error.kind === "cancelled"))
          answerError(visit, 503, { kind: "infrastructure", message: sentenceOf(error) });
      }
    },
  };
}

export const challenge = (status: number): Record<string, string> => (status === 401 ? { "www-authenticate": "Bearer" } : {});

/** RFC 9110, 6.4.1 */
const bodied = ({ status }: HttpResponse): boolean => status !== 204 && status !== 304;

function writeHead({ response, method }: Visit, { status, headers }: HttpResponse, call: string): void {
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    if (notTheirs.has(key) || (key === "content-length" && method !== "HEAD")) continue;
    response.appendHeader(key, value);
  }
  response.setHeader("hob-call", call);
  response.writeHead(status);
}

/** The connection is the gateway's own, and so is how a body is cut for it. */
const notTheirs = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "hob-call", "hob-version"]);

function unknown(app: string, path: string, specs: readonly { name: string; endpoint?: { path: string } | undefined }[]): string {
  if (specs.length === 0) return `there is no app "${app}"`;
  const paths = specs.flatMap(({ endpoint }) => (endpoint ? [`/${app}${endpoint.path}`] : []));
  if (paths.length === 0) return `the app "${app}" has no endpoint: put @app.endpoint() above a function`;
  return `nothing answers /${app}${path}; there is ${paths.slice(0, 8).join(", ")}`;
}

/** The HTTP status for a call that has no answer of its own. */
function statusOf({ failure, state }: CallInfo): { status: number; retry: boolean } {
  if (state === "cancelled") return { status: 503, retry: true };
  switch (failure?.kind) {
    case "arguments":
      return { status: 400, retry: false };
    case "timeout":
      return { status: 504, retry: false };
    case "exhausted":
    case "infrastructure":
      return { status: 503, retry: true };
    default:
      return { status: 500, retry: false };
  }
}
