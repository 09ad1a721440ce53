// ⑥ Calls from a program that hob has not started: `import "hob/rest"`, and they go over control's REST interface.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { type Channel, currentChannel, installChannel, type MapNews, type MapStart, type RemoteOutcome } from "./channel.ts";
import { RemoteError, type RemoteFailure } from "./errors.ts";

/** What one request waits for; longer calls are asked for again. */
const waitS = 60;
/** As many inputs a map as a request should hold; the next ones are taken while those run. */
const mostInputs = 10_000;

export interface RestAddress {
  /** "http://127.0.0.1:17000", or the path of control's socket for HTTP. */
  url: string;
  token?: string;
  /** The pool's authority as PEM, for https. */
  ca?: string;
}

interface Told {
  id: string;
  state: string;
  failure: RemoteFailure | null;
  result?: unknown;
  results: { index: number; result?: unknown; failure?: RemoteFailure }[];
  next: number;
  last: boolean;
  error?: { kind: string; message: string };
}

/** HOB_URL with HOB_TOKEN and HOB_CA (a file), else the control that HOB_CONTROL names; undefined without either. */
function addressFromEnvironment(): RestAddress | undefined {
  const { HOB_URL: url, HOB_TOKEN: token, HOB_CA: ca, HOB_CONTROL: control = "" } = process.env;
  if (url) return { url, ...(token ? { token } : {}), ...(ca ? { ca: readFileSync(ca, "utf8") } : {}) };
  const path = /^(?:unix:)?(\/.*?)(?:\.sock)?$/.exec(control)?.[1];
  return path ? { url: `${path}.http` } : undefined;
}

async function ask({ url, token, ca }: RestAddress, method: string, path: string, body?: string): Promise<Told> {
  const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { method, headers, ...(ca ? { ca } : {}) };
    const made = url.startsWith("/")
      ? plainRequest({ ...options, socketPath: url, path }, resolve)
      : (url.startsWith("https:") ? secureRequest : plainRequest)(new URL(path, url), options, resolve);
    made.once("error", reject).end(body);
  });
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  const told = JSON.parse(text) as Told;
  if (told.error) {
    const kind = told.error.kind === "usage" || told.error.kind === "notFound" ? "arguments" : told.error.kind;
    throw new RemoteError({ kind, message: told.error.message });
  }
  return told;
}

const pathOf = (app: string, name: string): string => `/v1/apps/${encodeURIComponent(app)}/functions/${encodeURIComponent(name)}`;
const isFinished = ({ state }: Told): boolean => state !== "queued" && state !== "running";
const outcomeOf = ({ failure, result }: Pick<Told, "failure" | "result">): RemoteOutcome =>
  failure ? { failure } : { json: JSON.stringify(result ?? null) };

/** What cannot be asked is the call's outcome, as in a function. */
function failed(error: unknown): RemoteFailure {
  if (error instanceof RemoteError) return { kind: error.kind, message: error.message };
  return {
    kind: "infrastructure",
    message: `the pool cannot be asked: ${error instanceof Error ? error.message : String(error)}`,
  };
}

export function restChannel(address: RestAddress): Channel {
  async function outcome(id: string, begun: Promise<Told>): Promise<RemoteOutcome> {
    try {
      let told = await begun;
      while (!isFinished(told)) told = await ask(address, "GET", `/v1/calls/${id}?wait=${waitS}`);
      return outcomeOf(told);
    } catch (error) {
      return { failure: failed(error) };
    }
  }

  function map(start: MapStart, hear: (news: MapNews) => void): ReturnType<Channel["map"]> {
    let waiting: string[] = [];
    let [taken, current, ended, cancelled] = [0, "", false, false];
    let more = Promise.withResolvers<void>();
    const news = (some: Partial<MapNews>): void => hear({ results: [], finished: false, ...some });

    async function run(inputs: string[]): Promise<void> {
      const body = `{"spread":true,"inputs":[${inputs.join(",")}]}`;
      const made = await ask(address, "POST", `${pathOf(start.app, start.function)}/map`, body);
      current = made.id;
      for (let [at, last] = [0, false]; !last && !cancelled; ) {
        const some = await ask(address, "GET", `/v1/maps/${made.id}/results?from=${at}`);
        [at, last] = [some.next, some.last];
        const results = some.results.map(({ index, result, failure }) => {
          return { index: taken + index, outcome: outcomeOf({ failure: failure ?? null, result }) };
        });
        if (results.length > 0) news({ results });
        else if (!last) {
          const told = await ask(address, "GET", `/v1/maps/${made.id}?wait=1`);
          if (told.failure) throw new RemoteError(told.failure);
        }
      }
      if (cancelled) await ask(address, "DELETE", `/v1/maps/${made.id}`);
      taken += inputs.length;
    }

    async function serve(): Promise<void> {
      if (start.spawned) {
        const message = `${start.function}: spawnMap needs hob; run this program with \`hob run FILE\`, or use map`;
        throw new RemoteError({ kind: "arguments", message });
      }
      news({ until: mostInputs });
      while (!cancelled) {
        while (!ended && !cancelled && waiting.length < mostInputs) await more.promise;
        const inputs = waiting;
        waiting = [];
        if (inputs.length > 0 && !cancelled) await run(inputs);
        if (ended) break;
        news({ until: taken + mostInputs, recorded: taken });
      }
    }

    const poke = (): void => {
      more.resolve();
      more = Promise.withResolvers<void>();
    };
    queueMicrotask(() => {
      serve().then(
        () => news({ finished: true }),
        (error: unknown) => news({ finished: true, failure: failed(error) }),
      );
    });
    return {
      get id() {
        return current;
      },
      send(_first, inputs, last) {
        waiting.push(...inputs);
        ended ||= last;
        poke();
      },
      take() {}, // results come a request at a time
      cancel() {
        cancelled = true;
        poke();
      },
    };
  }

  return {
    start(app, functionName, positional, origin) {
      const id = randomBytes(8).toString("hex");
      const body = `{"id":"${id}","args":${positional},"wait":${origin === "spawn" ? 0 : waitS}}`;
      return {
        id,
        outcome: outcome(id, ask(address, "POST", `${pathOf(app, functionName)}/call`, body)),
        cancel: () => void ask(address, "DELETE", `/v1/calls/${id}`).catch(() => {}), // the outcome says what became of it
        awaited() {}, // nothing is lent here: the call was made from outside of the pool
      };
    },
    map,
  };
}

const found = currentChannel() ? undefined : addressFromEnvironment();
if (found) installChannel(restChannel(found));
