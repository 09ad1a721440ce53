// ⑦ Log lines: numbered, stored, and handed to whoever listens; past ones first, then new ones, without a gap.

import type { ServerWritableStream } from "@grpc/grpc-js";
import { baseOf, isDeployment, parseReference } from "../proto/app-name.ts";
import type { LogLines, LogsRequest } from "../proto/gen/hob/v1/calls.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import { toServiceError } from "../proto/status.ts";
import type { Clients } from "./clients.ts";
import type { LogQuery, LogStore } from "./engine/engine.ts";
import { beyond, type Limits } from "./limits.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import type { Turn } from "./turn.ts";

const pageLines = 500;
const standardLimit = 1_000;
const largestLimit = 100_000;

interface Caller {
  app: string;
  function: string;
}

export interface Logs {
  /** Takes in what a node has read from its containers. */
  append(lines: LogLine[]): void;
  /** Hands every new batch to `listener` until the returned function is called. */
  listen(listener: (lines: LogLine[]) => void): () => void;
  /** The Calls.Logs call. */
  serve(stream: ServerWritableStream<LogsRequest, LogLines>): void;
}

function matcher(request: LogsRequest): (line: LogLine) => boolean {
  const { app, function: name, call } = request;
  const reference = parseReference(app);
  const isOf = (line: LogLine): boolean =>
    reference?.kind === "live" ? isDeployment(line.app) && baseOf(line.app) === reference.app : !app || line.app === app;
  return (line) => isOf(line) && (!name || line.function === name) && (!call || line.call === call);
}

/** Of "APP@live" all that is and was deployed: whoever follows it stays with it over deployments. */
function appsOf({ app }: LogsRequest, deployed: LogsParts["deployed"]): string[] {
  const reference = parseReference(app);
  if (reference?.kind === "live") return deployed(reference.app);
  return app ? [app] : [];
}

interface LogsParts {
  /** Names of the app's deployments. */
  deployed(app: string): string[];
  store: LogStore;
  /** The call or map of that id. */
  find(id: string): Caller | undefined;
  turn: Turn;
  clients: Clients;
  limits: Limits;
}

export function createLogs({ store, find, deployed, turn, clients, limits }: LogsParts): Logs {
  let readers = 0;
  const listeners = new Set<(lines: LogLine[]) => void>();

  function append(lines: LogLine[]): void {
    for (const line of lines) {
      const info = line.call && (!line.app || !line.function) ? find(line.call) : undefined;
      if (!info) continue;
      line.app = info.app;
      line.function = info.function;
    }
    store.append(lines);
    turn.wake();
    for (const listener of listeners) listener(lines);
  }

  function listen(listener: (lines: LogLine[]) => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  function serve(stream: ServerWritableStream<LogsRequest, LogLines>): void {
    const { request } = stream;
    if (readers >= limits["log-readers"]) {
      stream.emit("error", toServiceError(beyond(limits, "log-readers", "the log was not read")));
      return;
    }
    readers++;
    const leave = clients.enter();
    const matches = matcher(request);
    const query: LogQuery = {
      apps: appsOf(request, deployed),
      function: request.function,
      call: request.call,
      sinceMs: request.sinceMs,
    };
    let next = store.tail(query, Math.min(request.limit || standardLimit, largestLimit)) ?? store.lastSeq() + 1;
    let live: Outbox<LogLines> | undefined;
    let stop = () => {};

    /** Past lines page by page, as fast as the client reads; the change to new lines happens in one turn, so none falls between. */
    function past(): void {
      for (;;) {
        const page = store.page(query, next, pageLines);
        if (page.length > 0) next = page.at(-1)!.seq + 1;
        const room = page.length === 0 || stream.write({ lines: page });
        if (page.length < pageLines) break;
        if (!room) return;
      }
      if (!request.follow) return void stream.end();
      live = createOutbox<LogLines>({
        write: (event) => stream.write(event),
        pack: (lines) => ({ lines }),
        weigh: () => 0, // there are no others than lines
        overflow: () => stream.end(), // only messages that are not lines overflow
      });
      stop = listen((lines) => live?.lines(lines.filter(matches)));
    }

    let left = false;
    const close = () => {
      if (left) return;
      left = true;
      readers--;
      stop();
      leave();
    };
    stream.on("drain", () => (live ? live.drained() : stream.writableEnded || past()));
    stream.once("cancelled", close);
    stream.once("finish", close);
    past();
  }

  return { append, listen, serve };
}
