// ④⑤⑥ Saves of no consequence. Control and an agent each take some of their own making before anybody's comes, from their own socket to their own socket: what
// V8 compiles for a save (bin/hob) is compiled by then, and the second save of a person is as quick as the hundredth. Who is at work does not practise.

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { sha256 } from "../base/content-folder.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Rest } from "../base/rest.ts";
import { unixAddress } from "./address.ts";
import type { Codec } from "./direct.ts";
import { type Dialled, dialStream } from "./direct-client.ts";
import { AgentMessage, Dispatch, Load } from "./gen/hob/v1/agents.ts";
import { Publish } from "./gen/hob/v1/registry.ts";

/**
 * How many saves are made with each set of objects. V8 takes code for hot at the eighth call (and again at the eighth after something new); and what it
 * compiles for one set it throws away when it meets the first function of another, which it only then takes for one of many.
 */
const rounds = [10, 10, 10];

/** Who has not done it by then has other things to do, or something is wrong. */
const limitMs = 20_000;

export const practiceApp = "practice";
const name = "practise";
const path = "practice.py";
const memoryBytes = 512 << 20;

/** The code of a save; `n` counts from 1. */
const sourceOf = (n: number): string =>
  `from hob import App\n\napp = App("${practiceApp}")\n\n\n@app.function()\ndef ${name}():\n    return ${n}\n`;

function filesOf(n: number): { digest: string; blob: string; size: number } {
  const blob = sha256(sourceOf(n));
  const size = Buffer.byteLength(sourceOf(n));
  return { digest: sha256(`644 ${blob} ${size} ${path}\n`), blob, size };
}

/** What the workbench says of the `n`th: one function's body has changed, and that is called. */
export function practisedPublish(n: number): Publish {
  const { digest, blob, size } = filesOf(n);
  const base = n > 1 ? filesOf(n - 1).digest : "";
  const version = sha256(`${name} ${n}`);
  const image = { source: "host" };
  const spec = { app: practiceApp, name, language: "python", module: path, qualname: name, image, memoryBytes, line: 6 };
  return Publish.fromPartial({
    ...{ id: n, app: practiceApp },
    snapshot: {
      ...{ digest, base, changed: [{ path, digest: blob, size, mode: 0o644 }] },
      blobs: [{ digest: blob, data: Buffer.from(sourceOf(n)) }],
    },
    versions: [{ function: name, digest: version, snapshot: digest, spec }],
    changes: [{ function: name, tier: base ? "patch" : "fork", reason: "body changed" }],
    patches: base ? [{ base, functions: [name], keep: "all", units: [{ path, name, line: 6, endLine: 8 }] }] : [],
    calls: [
      {
        ...{ id: sha256(`call ${n}`).slice(0, 16), app: practiceApp, function: name, version, origin: "save" },
        arguments: { positional: Buffer.from("[]"), keywords: Buffer.alloc(0) },
      },
    ],
  });
}

/** What control makes of it for the agent that has this container: of a patch the load goes ahead, else they are one message. */
export function practisedCommands(n: number, container: string): { load: Load | undefined; dispatch: Dispatch } {
  const { snapshot, versions, patches, calls } = practisedPublish(n);
  const [call, version] = [calls[0]!, versions[0]!];
  const ahead = patches.length > 0;
  const load = Load.fromPartial({
    ...{ id: n, container, app: practiceApp, snapshot: snapshot!, patches, called: ahead },
    ...{ versions, tier: ahead ? "patch" : "fork", retire: n > 2 ? [filesOf(n - 2).digest] : [] },
  });
  const dispatch = Dispatch.fromPartial({
    ...{ call: call.id, attempt: 1, container, app: practiceApp, version, timeoutMs: 0, keepFrames: true },
    arguments: call.arguments!,
    ...(ahead ? {} : { load }),
  });
  return { load: ahead ? load : undefined, dispatch };
}

type Said = NonNullable<AgentMessage["message"]>;

/** What an agent says of a load. */
export function practisedLoaded({ id, container, snapshot, tier }: Load): Said {
  return {
    $case: "loaded",
    value: { load: id, container, snapshot: snapshot!.digest, ms: 1, failure: undefined, tier, reason: "" },
  };
}

/** What an agent says of a call. */
export function practisedAnswers({ call, container, attempt }: Dispatch): Said[] {
  const finished = {
    call,
    container,
    attempt,
    result: { json: Buffer.from("1") },
    loadMs: 1,
    runMs: 0.1,
    peakMemoryBytes: 16 << 20,
  };
  const { message } = AgentMessage.fromPartial({ message: { $case: "finished", value: finished } });
  return [{ $case: "started", value: { call, container, attempt, timeMs: Date.now() } }, message!];
}

/** One set of objects that saves go through. */
export interface Rehearsal extends AsyncDisposable {
  /** Resolves with its call's result; rejects where that is a failure. */
  save(n: number): Promise<void>;
}

/** Waits for something unless the practice ends before: rejects then. */
export type Unless = <T>(promise: Promise<T>) => Promise<T>;

/** Opens one set after the other and makes its saves, each when the process rests, until all are made or it is disposed of. */
export function startPractice(open: (unless: Unless) => Promise<Rehearsal>, rest: Pick<Rest, "once">, log: Log): AsyncDisposable {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(limitMs)]);
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {}); // whoever waits hears it
  signal.addEventListener("abort", () => ended.reject(signal.reason), { once: true });
  const unless: Unless = (promise) => Promise.race([promise, ended.promise]);

  async function resting(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = rest.once(resolve);
    await unless(promise).finally(forget);
  }

  async function practise(): Promise<void> {
    const begin = performance.now();
    for (const saves of rounds) {
      await resting();
      await using rehearsal = await open(unless);
      for (let n = 1; n <= saves; n++) {
        await resting();
        await unless(rehearsal.save(n));
      }
    }
    log.info({ ms: performance.now() - begin }, "practised");
  }

  const done = practise().catch((error) => {
    if (!stop.signal.aborted) log.warn({ error: sentenceOf(error) }, "practising");
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

/** Listens at a socket file in a folder that is this user's alone. */
export async function servePractice(file: string, take: (connection: Socket) => void): Promise<Disposable> {
  const connections = new Set<Socket>();
  const listener = createServer((connection) => {
    connections.add(connection);
    connection.on("error", () => {}); // it ends with the practice
    take(connection);
  });
  listener.listen(file);
  await once(listener, "listening");
  return {
    [Symbol.dispose]() {
      listener.close();
      for (const connection of connections) connection.destroy();
    },
  };
}

/** A direct stream there; there is no other. */
export function dialPractice<Out, In>(file: string, method: { path: string; out: Codec<Out>; in: Codec<In> }): Dialled<Out, In> {
  const stream = dialStream(unixAddress(file), method, () => {
    throw new Error("a practice has direct streams only");
  }) as Dialled<Out, In>;
  return stream.on("error", () => {}); // it ends with the practice
}
