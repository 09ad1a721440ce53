// ⑥ Shells in this node's containers: each dials control with a stream of its own, and ends with it; output goes only as far as credit was given.

import type { ClientDuplexStream } from "@grpc/grpc-js";
import { HobError, sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openFilesLimit } from "../../base/open-files.ts";
import type { SnapshotDelta } from "../../proto/gen/hob/v1/common.ts";
import type { OpenShell, ShellInput, ShellOutput, ShellsClient } from "../../proto/gen/hob/v1/shell.ts";
import type { Container } from "../container/container.ts";
import type { Ended } from "../container/process.ts";
import { failure } from "../failures.ts";
import { type ShellProcess, startProcess } from "./process.ts";
import { processSpec } from "./process-spec.ts";
import { createPump } from "./pump.ts";

export interface ShellHost {
  client(): Pick<ShellsClient, "attach">;
  container(id: string): Container | undefined;
  /** Makes the container the app's and shows the snapshot in its project folder. */
  show(container: Container, app: string, snapshot: SnapshotDelta): Promise<void>;
  folders: { runc: string; containers: string };
  log: Log;
}

export interface Shells extends AsyncDisposable {
  open(order: OpenShell): void;
}

type Stream = ClientDuplexStream<ShellOutput, ShellInput>;
type Output = NonNullable<ShellOutput["output"]>;
type Input = NonNullable<ShellInput["input"]>;

/** Of input: what waits for a program that does not read. */
const inputWindow = 64 * 1024;

export function createShells(host: ShellHost): Shells {
  const ending = new AbortController();
  const running = new Set<Promise<void>>();

  async function serve(order: OpenShell): Promise<void> {
    const stream = host.client().attach();
    const over = new AbortController();
    const end = (reason: string): void => over.abort(new HobError("cancelled", reason));
    const stop = (): void => end("the agent is ending");
    ending.signal.addEventListener("abort", stop, { once: true });
    stream.on("end", () => end("the client has left"));
    stream.on("error", () => end("the connection to control is lost"));
    const send = (output: Output): void => {
      if (!over.signal.aborted) stream.write({ output });
    };
    send({ $case: "attach", value: order.id });
    const container = host.container(order.container);
    try {
      const ended = await run(order, container, { stream, send, over: over.signal });
      send({ $case: "ended", value: { code: ended.code, signal: ended.signal, failure: undefined } });
    } catch (error) {
      host.log.info({ shell: order.id, container: order.container, error: sentenceOf(error) }, "a shell");
      send({ $case: "ended", value: { code: 3, signal: "", failure: failure("infrastructure", sentenceOf(error)) } });
    } finally {
      ending.signal.removeEventListener("abort", stop);
      stream.end();
      if (order.owns) await container?.stop("its shell has ended");
    }
  }

  interface Line {
    stream: Stream;
    send(output: Output): void;
    over: AbortSignal;
  }

  async function run(order: OpenShell, container: Container | undefined, { stream, send, over }: Line): Promise<Ended> {
    if (!container) throw new HobError("notFound", `container ${order.container} is not on this node any more`);
    const { snapshot, app, start } = order;
    if (snapshot) await host.show(container, app, snapshot);
    const spec = processSpec({ order, launch: container.launch, openFilesMost: openFilesLimit() });
    const place = { root: host.folders.runc, bundle: `${host.folders.containers}/${container.id}`, id: container.id };
    await using process = await startProcess(place, `shell-${order.id}`, spec);
    over.throwIfAborted();
    send({ $case: "opened", value: { container: container.id, node: "", snapshot: snapshot?.digest ?? "" } });
    const pump = createPump(process.outputs, start?.credit ?? 0, (kind, data) => send({ $case: kind, value: data }));
    takeInput(stream, process, { grant: pump.grant, credit: (bytes) => send({ $case: "credit", value: bytes }) });
    const { promise: left, reject } = Promise.withResolvers<never>();
    over.addEventListener("abort", () => reject(over.reason), { once: true });
    const ended = await Promise.race([process.ended, left]);
    process.endSession();
    await Promise.race([pump.drained(), left]);
    const { state } = container;
    if (ended.signal === "SIGKILL" && "reason" in state) {
      throw new HobError("unavailable", `container ${container.id} has ended under the shell: ${state.reason}`);
    }
    return ended;
  }

  return {
    open(order) {
      const shell = serve(order)
        .catch((error) => host.log.error({ shell: order.id, error: sentenceOf(error) }, "ending a shell"))
        .finally(() => running.delete(shell));
      running.add(shell);
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await Promise.all(running);
    },
  };
}

/** In order; the credit for each piece is given back once the process has taken it. */
function takeInput(
  stream: Stream,
  process: ShellProcess,
  flow: { grant(bytes: number): void; credit(bytes: number): void },
): void {
  let queue = Promise.resolve();
  const handlers: { [I in Input["$case"]]: (value: Extract<Input, { $case: I }>["value"]) => void } = {
    start() {},
    data(data) {
      queue = queue.then(() => process.write(data)).then(() => flow.credit(data.length));
      queue.catch(() => {}); // the process is gone, which `ended` tells
    },
    size: ({ columns, rows }) => process.resize(columns, rows),
    credit: (bytes) => flow.grant(bytes),
    end() {
      queue = queue.then(() => process.endInput());
    },
    signal: (name) => process.signal(name as NodeJS.Signals),
  };
  stream.on("data", ({ input }: ShellInput) => {
    if (input) (handlers[input.$case] as (value: unknown) => void)(input.value);
  });
  flow.credit(inputWindow);
}
