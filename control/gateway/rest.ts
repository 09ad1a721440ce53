// ④⑦ REST for other programs: functions, calls, maps. What each operation takes and gives is in openapi.ts, and the table here is checked against it.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import type { Failure, FunctionSpec, Value, Version } from "../../proto/gen/hob/v1/common.ts";
import { type MapInfo, MapInputs, MapResults, OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import { StartCall } from "../../proto/gen/hob/v1/registry.ts";
import { jsonOf } from "../../proto/large-value.ts";
import type { Calls } from "../calls.ts";
import type { Clients } from "../clients.ts";
import type { MapStore } from "../engine/engine.ts";
import type { Maps } from "../maps/maps.ts";
import { openOrdered } from "../maps/results.ts";
import type { Registry } from "../registry.ts";
import type { Turn } from "../turn.ts";
import { challenge } from "./endpoints.ts";
import { parseExact } from "./exact-json.ts";
import { answerError, answerJson, bodyOf, TooLarge, type Visit } from "./incoming.ts";
import { openApi } from "./openapi.ts";
import { restRefusal } from "./permit.ts";
import { longestWaitMs, type Waiting } from "./waiting.ts";

const largestBody = 64 << 20;
const standardWaitMs = 60_000;

export interface RestParts {
  calls: Pick<Calls, "start" | "cancel" | "find">;
  maps: Pick<Maps, "open" | "send" | "find" | "cancel">;
  mapStore: MapStore;
  registry: Registry;
  blobs: Pick<ContentFolder, "path">;
  clients: Clients;
  waiting: Waiting;
  turn: Pick<Turn, "toClient">;
}

interface Asked {
  visit: Visit;
  /** Of the path. */
  names: Record<string, string>;
  query: URLSearchParams;
}

type Handler = (asked: Asked) => Promise<void> | void;

/** Without a refusal; the message says what was asked for. */
class NotFound extends HobError {}

export function createRest(parts: RestParts): { serve(visit: Visit): Promise<void> } {
  const { calls, maps, registry, clients, waiting, turn } = parts;
  const newId = (): string => randomBytes(8).toString("hex");
  const recorded = (): Promise<void> => new Promise((resolve) => turn.toClient(resolve));

  /** As it is now, once that is durable: another control could know nothing of what is newer. */
  async function asRecorded<T extends object>(live: T | undefined, what: string): Promise<T> {
    if (!live) throw new NotFound("notFound", `there is no ${what}`);
    const copy = { ...live };
    await recorded();
    return copy;
  }

  async function objectIn(visit: Visit): Promise<Record<string, unknown>> {
    const text = (await bodyOf(visit, largestBody)).toString("utf8");
    let given: unknown;
    try {
      given = parseExact(text || "{}");
    } catch (error) {
      throw new HobError("usage", `the body is not JSON: ${error instanceof Error ? error.message : ""}`);
    }
    if (typeof given !== "object" || given === null || Array.isArray(given))
      throw new HobError("usage", "the body is a JSON object");
    return given as Record<string, unknown>;
  }

  /** Text, not a value: results may be large, and their numbers exact. */
  async function jsonText(value: Value | undefined): Promise<string> {
    if (!value?.large) return value?.json.toString("utf8") ?? "null";
    return jsonOf(await readFile(parts.blobs.path(value.large.blob)), value.large).toString("utf8");
  }

  async function answerCall(visit: Visit, id: string): Promise<void> {
    const call = await asRecorded(calls.find(id), `call ${id}`);
    const { response } = visit;
    const head = JSON.stringify(callView(call));
    const body = call.state === "succeeded" ? `${head.slice(0, -1)},"result":${await jsonText(call.result)}}` : head;
    response.writeHead(call.finishedAtMs > 0 ? 200 : 202, { "content-type": "application/json" }).end(`${body}\n`);
  }

  async function call({ visit, names: { app = "", function: name = "" } }: Asked): Promise<void> {
    const { args = [], kwargs = {}, wait = standardWaitMs / 1000, id = newId() } = await objectIn(visit);
    if (!Array.isArray(args)) throw new HobError("usage", "args is a list");
    if (typeof kwargs !== "object" || kwargs === null) throw new HobError("usage", "kwargs is an object");
    if (typeof id !== "string" || !/^[0-9a-f]{16}$/.test(id)) throw new HobError("usage", "id is 16 lower-case hex digits");
    const waitMs = secondsOf("wait", wait);
    const positional = Buffer.from(JSON.stringify(args));
    const keywords = Buffer.from(Object.keys(kwargs).length > 0 ? JSON.stringify(kwargs) : "");
    const given = { positional, keywords };
    const leave = clients.enter();
    try {
      const ending = waiting.until(id, waitMs, visit);
      const traceparent = String(visit.request.headers["traceparent"] ?? "");
      calls.start(StartCall.fromPartial({ id, app, function: name, arguments: given, origin: "rest", traceparent }));
      const ended = await ending;
      await recorded();
      // What is more than control holds is not taken, and not recorded.
      if (ended?.failure && !calls.find(id)) throw new HobError("exhausted", ended.failure.message);
      await answerCall(visit, id);
    } finally {
      leave();
    }
  }

  async function showCall({ visit, names: { id = "" }, query }: Asked): Promise<void> {
    const known = calls.find(id);
    if (known && known.finishedAtMs === 0) await waiting.until(id, secondsOf("wait", query.get("wait") ?? 0), visit);
    await answerCall(visit, id);
  }

  async function answerMap(visit: Visit, id: string): Promise<void> {
    const info = await asRecorded(maps.find(id), `map ${id}`);
    answerJson(visit, info.finishedAtMs > 0 ? 200 : 202, mapView(info));
  }

  async function map({ visit, names: { app = "", function: name = "" } }: Asked): Promise<void> {
    const { inputs, spread = false } = await objectIn(visit);
    if (!Array.isArray(inputs)) throw new HobError("usage", "inputs is a list, an element for each call");
    const items = inputs.map((input: unknown, index) => {
      if (spread && !Array.isArray(input)) throw new HobError("usage", "with spread each input is a list of arguments");
      return { index, arguments: { positional: Buffer.from(JSON.stringify(spread ? input : [input])) } };
    });
    const bytes = MapInputs.encode(MapInputs.fromPartial({ inputs: items })).finish();
    const opened = maps.open(OpenMap.fromPartial({ id: newId(), app, function: name, origin: "rest", detached: true }));
    maps.send(opened, { bytes, until: items.length, last: true });
    await answerMap(visit, opened.info.id);
  }

  async function showMap({ visit, names: { id = "" }, query }: Asked): Promise<void> {
    const known = maps.find(id);
    if (known && known.finishedAtMs === 0) await waiting.until(id, secondsOf("wait", query.get("wait") ?? 0), visit);
    await answerMap(visit, id);
  }

  async function mapResults({ visit, names: { id = "" }, query }: Asked): Promise<void> {
    const info = await asRecorded(maps.find(id), `map ${id}`);
    const from = Number(query.get("from") ?? 0);
    if (!Number.isSafeInteger(from) || from < 0)
      throw new HobError("usage", "from is the index of the first result that is wanted");
    const some = openOrdered(parts.mapStore, info.number, from).next();
    const results = some ? MapResults.decode(some.bytes).results : [];
    const texts = results.map(({ index, value, failure }) =>
      failure
        ? JSON.stringify({ index, failure: failureView(failure) })
        : `{"index":${index},"result":${value?.json.toString("utf8") ?? "null"}}`,
    );
    const next = some?.position ?? from;
    visit.response
      .writeHead(200, { "content-type": "application/json" })
      .end(`{"results":[${texts.join(",")}],"next":${next},"last":${info.finishedAtMs > 0 && next >= info.inputs}}\n`);
  }

  function functions({ visit, names: { app = "" } }: Asked): void {
    const versions = registry.current(app);
    if (versions.length === 0) throw new NotFound("notFound", `there is no app "${app}"`);
    answerJson(visit, 200, { app, functions: versions.map(functionView) });
  }

  /** `METHOD PATH` as openapi.ts has them. */
  const handlers: Record<string, { reading: boolean; handle: Handler }> = {
    "GET /v1/apps": {
      reading: true,
      handle: ({ visit }) =>
        answerJson(visit, 200, {
          apps: registry.apps().map((app) => ({ app, functions: registry.current(app).map((version) => version.function) })),
        }),
    },
    "GET /v1/apps/{app}/functions": { reading: true, handle: functions },
    "POST /v1/apps/{app}/functions/{function}/call": { reading: false, handle: call },
    "POST /v1/apps/{app}/functions/{function}/map": { reading: false, handle: map },
    "GET /v1/calls/{id}": { reading: true, handle: showCall },
    "DELETE /v1/calls/{id}": {
      reading: false,
      async handle({ visit, names: { id = "" } }) {
        calls.cancel(id);
        await answerCall(visit, id);
      },
    },
    "GET /v1/maps/{id}": { reading: true, handle: showMap },
    "GET /v1/maps/{id}/results": { reading: true, handle: mapResults },
    "DELETE /v1/maps/{id}": {
      reading: false,
      async handle({ visit, names: { id = "" } }) {
        maps.cancel(id);
        await answerMap(visit, id);
      },
    },
    "GET /v1/openapi.json": { reading: true, handle: ({ visit }) => answerJson(visit, 200, openApi) },
  };
  const routes = Object.entries(handlers).map(([key, { reading, handle }]) => {
    const [method = "", path = ""] = key.split(" ");
    return { method, parts: path.split("/"), reading, handle };
  });

  async function serve(visit: Visit): Promise<void> {
    const given = visit.path.split("/");
    const fitting = routes.flatMap((route) => {
      const names = namesIn(route.parts, given);
      return names ? [{ route, names }] : [];
    });
    const found = fitting.find(({ route }) => route.method === visit.method);
    if (!found) {
      const allow = fitting.map(({ route }) => route.method).join(", ");
      const message = allow
        ? `${visit.path} takes ${allow}, not ${visit.method}`
        : `there is no ${visit.path}: GET /v1/openapi.json has what there is`;
      return answerError(visit, allow ? 405 : 404, { kind: allow ? "usage" : "notFound", message }, allow ? { allow } : {});
    }
    const refusal = restRefusal(visit.visitor, found.route.reading);
    if (refusal)
      return answerError(visit, refusal.status, { kind: "denied", message: refusal.message }, challenge(refusal.status));
    try {
      await found.route.handle({ visit, names: found.names, query: new URLSearchParams(visit.query) });
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      answerError(visit, statusOf(error), { kind: error.kind, message: error.sentence });
    }
  }

  return { serve };
}

function statusOf(error: HobError): number {
  if (error instanceof TooLarge) return 413;
  return { usage: 400, notFound: 404, denied: 403, exhausted: 503, unavailable: 503 }[error.kind as string] ?? 500;
}

function namesIn(pattern: readonly string[], given: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== given.length) return undefined;
  const names: Record<string, string> = {};
  for (const [at, part] of pattern.entries()) {
    if (!part.startsWith("{")) {
      if (part !== given[at]) return undefined;
      continue;
    }
    try {
      names[part.slice(1, -1)] = decodeURIComponent(given[at]!);
    } catch {
      return undefined;
    }
  }
  return names;
}

function secondsOf(name: string, given: unknown): number {
  const seconds = Number(given);
  if (Number.isFinite(seconds) && seconds >= 0 && seconds * 1000 <= longestWaitMs) return seconds * 1000;
  throw new HobError("usage", `${name} is a number of seconds, at most ${longestWaitMs / 1000}`);
}

const failureView = ({ kind, type, message, traceback }: Failure): object => ({ kind, type, message, traceback });

function callView({
  id,
  number,
  app,
  function: name,
  version,
  state,
  failure,
  attempt,
  queuedAtMs,
  finishedAtMs,
}: CallInfo): object {
  const times = { queuedAtMs, finishedAtMs: finishedAtMs || null };
  return { id, number, app, function: name, version, state, attempt, ...times, failure: failure ? failureView(failure) : null };
}

function mapView({ id, number, app, function: name, version, state, inputs, succeeded, failed, failure }: MapInfo): object {
  const counts = { inputs, succeeded, failed };
  return { id, number, app, function: name, version, state, ...counts, failure: failure ? failureView(failure) : null };
}

function functionView({ function: name, digest, spec }: Version): object {
  const { parameters, returns, doc, language, endpoint }: Partial<FunctionSpec> = spec ?? {};
  return {
    ...{ name, version: digest, language: language ?? "", doc: doc ?? "", returns: returns ?? "" },
    parameters: parameters ?? [],
    path: endpoint?.path ?? null,
  };
}
