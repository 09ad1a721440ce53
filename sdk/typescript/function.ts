// ⑥ Functions as user code sees them: called here, or on the pool, one call or many.

import { type CallOrigin, type Channel, currentChannel, type RemoteCall } from "./channel.ts";
import { remoteError } from "./errors.ts";
import { type Inputs, type MapCall, type MapOptions, mapEach, spawnMap } from "./map.ts";
import type { FunctionSpec } from "./spec.ts";
import { decodeValue, encodeValue } from "./values.ts";

/** A call under way. `id` names it for good: it is the id that `hob logs --call` takes. */
export class Call<R> {
  readonly id: string;
  readonly #call: RemoteCall;

  constructor(call: RemoteCall) {
    this.id = call.id;
    this.#call = call;
  }

  /** The result; rejects with RemoteError when the call failed. */
  async get(): Promise<R> {
    this.#call.awaited();
    const outcome = await this.#call.outcome;
    if ("failure" in outcome) throw remoteError(outcome.failure);
    return decodeValue(outcome.json) as R;
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export interface RemoteFunction<A extends unknown[], R> {
  /** Called like any function it runs here. */
  (...args: A): R;
  local(...args: A): R;
  /** Runs it on the pool. */
  remote(...args: A): Promise<Awaited<R>>;
  /** Starts it on the pool and returns at once. The call goes on when the function that made it has returned. */
  spawn(...args: A): Call<Awaited<R>>;
  /** The result of each input. The inputs may be endless: no more of them are taken than the pool works on. */
  map(inputs: Inputs<A[0]>, options?: MapOptions): AsyncIterable<Awaited<R>>;
  /** Like map, with each input a list of arguments. */
  starmap(inputs: Inputs<A>, options?: MapOptions): AsyncIterable<Awaited<R>>;
  /** Hands all inputs to the pool. The map goes on when the function that made it has returned. */
  spawnMap(inputs: Inputs<A[0]>, options?: Pick<MapOptions, "ordered">): Promise<MapCall<Awaited<R>>>;
  /** The declaration, as `hob` reads it. */
  describe(): FunctionSpec;
  readonly app: string;
}

export function makeFunction<A extends unknown[], R>(
  app: string,
  spec: FunctionSpec,
  given: ((...args: A) => R) | undefined,
): RemoteFunction<A, R> {
  let body = given;
  const local = (...args: A): R => {
    if (!body) throw new Error(`${app}/${spec.name} was looked up by name, so its code is not here; call .remote(...)`);
    return body(...args);
  };
  const begin =
    (origin: CallOrigin) =>
    (...args: A): Call<Awaited<R>> =>
      new Call(channelFor(spec.name).start(app, spec.name, encodeAll(spec.name, args), origin));
  const [once, spawn] = [begin("function"), begin("spawn")];
  const open = (how: { ordered: boolean; spawned: boolean }) => {
    return { channel: channelFor(spec.name), start: { app, function: spec.name, ...how } };
  };
  const single = (input: A[0]): string => encodeAll(spec.name, [input]);
  const many = (input: A): string => encodeAll(spec.name, input);
  const made: RemoteFunction<A, R> = Object.assign((...args: A): R => local(...args), {
    app,
    local,
    spawn,
    remote: (...args: A) => once(...args).get(),
    map: (inputs: Inputs<A[0]>, options: MapOptions = {}) => mapEach<A[0], Awaited<R>>(open, inputs, single, options),
    starmap: (inputs: Inputs<A>, options: MapOptions = {}) => mapEach<A, Awaited<R>>(open, inputs, many, options),
    spawnMap: async (inputs: Inputs<A[0]>, { ordered = true }: Pick<MapOptions, "ordered"> = {}) =>
      spawnMap<A[0], Awaited<R>>(open({ ordered, spawned: true }), inputs, single),
    describe: () => ({ ...spec }),
  });
  Object.defineProperty(made, "name", { value: spec.name });
  Object.defineProperty(made, "length", { value: body?.length ?? 0 });
  // For the runner: what it calls and whose parameters it shows. A symbol, since the runner is not in the bundle.
  // Set when a patch puts a new body in place: whoever holds the function then calls the new one.
  Object.defineProperty(made, Symbol.for("hob.function"), {
    get: () => body,
    set: (next: (...args: A) => R) => {
      body = next;
    },
  });
  return made;
}

/** The channel, where there is one and the function can be asked for. */
function channelFor(name: string): Channel {
  const channel = currentChannel();
  if (!channel)
    throw new Error(`${name || "this function"}: a remote call needs hob; run it with \`hob run FILE::${name || "NAME"}\``);
  if (!name)
    throw new Error('a function that is called remotely needs a name: export it as a constant, or give the option name: "…"');
  return channel;
}

/** A JSON array. */
function encodeAll(name: string, args: readonly unknown[]): string {
  return `[${args.map((argument, at) => encodeValue(argument, `argument ${at + 1} of ${name}`, "pass")).join(",")}]`;
}
