// ④⑥ Control with its gateway, and a real runner behind an agent's double: HTTP from end to end without containers.

import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { requestHead } from "../../agent/runner/heard.ts";
import { sha256 } from "../../base/content-folder.ts";
import { httpSocketOf } from "../../control/gateway/gateway.ts";
import { AgentMessage, type Dispatch } from "../../proto/gen/hob/v1/agents.ts";
import type { Endpoint, LargeValue } from "../../proto/gen/hob/v1/common.ts";
import { headBytes } from "../../proto/large-value.ts";
import { answerInputs, linkAgent } from "../control/agent-double.ts";
import { makePlace, makePublish, openSession, type Place, startControl, type TestSession } from "../control/harness.ts";
import { type Harness, type Language, startHarness } from "./harness.ts";

export interface GatewayPlace extends AsyncDisposable {
  place: Place;
  /** http://127.0.0.1:PORT */
  url: string;
  socket: string;
  session: TestSession;
  harness: Harness;
  /** A function's version, as its runner knows it. */
  loaded(name: string): { snapshot: string; version: string; function: string };
}

const outcomeOf = (name: string | undefined, value: unknown): object =>
  name === "fail"
    ? { failure: { kind: "exception", message: `bad ${String(value)}` } }
    : { value: { json: Buffer.from(JSON.stringify(value)) } };

const isLarge = (given: LargeValue | undefined): given is LargeValue => given !== undefined;

/** Serves these functions of one file, as the app "shop". */
export async function openGateway(
  language: Language,
  text: string,
  endpoints: Record<string, Partial<Endpoint> & { concurrency?: number }>,
): Promise<GatewayPlace> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(makePlace());
  let url = "";
  const ready = (at: string): void => {
    url = at;
  };
  stack.use(await startControl(place, { http: { host: "127.0.0.1", port: 0, ready } }));
  const harness = stack.use(await startHarness(language));
  const file = language === "python" ? "app.py" : "app.ts";
  const names = Object.keys(endpoints);
  const loaded = (name: string) => ({ snapshot, version: sha256(`${snapshot} ${file}::${name}`), function: name });
  const { snapshot, failure } = await harness.load(
    { [file]: text },
    names.map((name) => `${file}::${name}`),
  );
  if (failure) throw new Error(failure.traceback || failure.message);
  const agent = stack.use(
    linkAgent(place.socket, {
      // Inputs of maps do not reach the runner here.
      inputs: (me, order) => answerInputs(me, order, (value) => outcomeOf(order.version?.function, value)),
      partsTaken: ({ call, bytes, gone }) => harness.runner.partsTaken(call, bytes, gone),
      async dispatch(me, dispatch: Dispatch) {
        if (dispatch.load) me.loaded(dispatch.load);
        const { call, container, attempt, request, version, timeoutMs } = dispatch;
        const body = isLarge(request?.large)
          ? readFileSync(join(place.store, request.large.blob.slice(0, 2), request.large.blob)).subarray(headBytes)
          : request?.body;
        const given = request
          ? { positional: body!, keywords: Buffer.alloc(0), request: requestHead(request) }
          : { positional: dispatch.arguments!.positional, keywords: dispatch.arguments!.keywords };
        parts.set(call, { container, attempt });
        const {
          result,
          failure: failed,
          response,
          runMs,
        } = await harness.runner.call({
          ...{ call, timeoutMs, ...loaded(version!.function) },
          ...given,
        });
        const value = { call, container, attempt, runMs, result, failure: failed, response };
        me.send(AgentMessage.fromPartial({ message: { $case: "finished", value } }).message!);
      },
    }),
  );
  const parts = new Map<string, { container: string; attempt: number }>();
  harness.onPart = (part) => agent.send({ $case: "part", value: { ...part, ...parts.get(part.call)! } });
  const session = stack.use(openSession(place.socket));
  const wishes = Object.entries(endpoints).map(([name, { concurrency = 1, ...endpoint }]) => ({
    ...{ name, language, concurrency },
    endpoint: { kind: "function", path: `/${name}`, methods: [], access: "", maxBodyBytes: 0, ...endpoint },
  }));
  session.send({ $case: "publish", value: makePublish(text, wishes) });
  const { failure: refused } = await session.next("published");
  if (refused) throw new Error(refused.message);
  const life = stack.move();
  return {
    place,
    url,
    socket: httpSocketOf(place.socket),
    session,
    harness,
    loaded,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}

/** What a raw request is answered with, byte for byte, until the other side ends. */
export function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = createConnection(Number(port), hostname, () => socket.write(text));
    let heard = "";
    socket.on("data", (piece) => {
      heard += piece.toString("latin1");
    });
    socket.on("close", () => resolve(heard));
    socket.on("error", reject);
  });
}
