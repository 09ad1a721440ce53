// ⑦ The Calls service: sessions, maps and logs as streams, and what is asked once.

import type { ServiceError } from "@grpc/grpc-js";
import type { CallsServer } from "../proto/gen/hob/v1/calls.ts";
import { toServiceError } from "../proto/status.ts";
import { withinBytes } from "./call.ts";
import type { Calls } from "./calls.ts";
import type { CallStore } from "./engine/engine.ts";
import type { Inspections } from "./inspections.ts";
import type { Logs } from "./logs.ts";
import type { Maps } from "./maps/maps.ts";
import type { createMapStreams } from "./maps/stream.ts";
import type { Redaction } from "./redaction.ts";
import type { Sessions } from "./sessions.ts";
import type { Turn } from "./turn.ts";

const listedCalls = 10_000;
const listedBytes = 4 << 20; // of arguments and results in one answer; older calls come without

interface Parts {
  sessions: Pick<Sessions, "serve">;
  calls: Pick<Calls, "find" | "numbered">;
  maps: Pick<Maps, "find" | "list">;
  mapStreams: ReturnType<typeof createMapStreams>;
  logs: Pick<Logs, "serve">;
  turn: Pick<Turn, "toClient" | "stuck" | "delayed">;
  /** Of "APP@live" the deployment that is; any other name as it is. */
  liveName(app: string): string;
  redaction: Pick<Redaction, "call">;
  inspections: Pick<Inspections, "serve">;
}

export function createCallsService(plane: Parts, calls: Pick<CallStore, "list">): CallsServer {
  const { turn } = plane;

  /** Where others keep what is recorded, nobody sees what they may not have yet. */
  function answer<T>(callback: (error: ServiceError | null, value?: T) => void, value: T): void {
    if (turn.delayed) callback(toServiceError(turn.delayed));
    else if (turn.stuck) callback(null, value);
    else turn.toClient(() => callback(null, value));
  }

  return {
    session: (stream) => plane.sessions.serve(stream),
    listCalls({ request }, callback) {
      const { id, number } = request;
      const one = id ? plane.calls.find(id) : number ? plane.calls.numbered(number) : undefined;
      const limit = Math.min(request.limit || 50, listedCalls);
      const found =
        id || number
          ? [one].filter((call) => call !== undefined)
          : calls.list({ ...request, app: plane.liveName(request.app), limit });
      const listed = withinBytes(found, listedBytes).map(plane.redaction.call);
      answer(callback, { calls: listed });
    },
    logs: (stream) => plane.logs.serve(stream),
    map: (stream) => plane.mapStreams.serve(stream),
    inspect: plane.inspections.serve,
    listMaps({ request: { app, id, limit } }, callback) {
      const one = id ? plane.maps.find(id) : undefined;
      const maps = id ? (one ? [{ ...one }] : []) : plane.maps.list(app, Math.min(limit || 50, listedCalls));
      answer(callback, { maps });
    },
  };
}
