// ⑥ Functions as user code sees them: called here, or on the pool, one call or many.

import { type CallOrigin, type Channel, currentChannel, type RemoteCall } from "./channel.ts";
import { remoteError } from "./errors.ts";
import type { FunctionSpec } from "./spec.ts";
import { decodeValue, encodeValue } from "./values.ts";

/** Calls of one map that are under way at a time. */
const inFlight = 64;

export interface MapOptions {
  /** Results in the inputs' order (the default), or as they finish. */
  ordered?: boolean;
  /** Give a failed call's RemoteError as its result instead of throwing it. */
  returnExceptions?: boolean;
}

type Inputs<T> = Iterable<T> | AsyncIterable<T>;

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
  /** The results for each input. */
  map(inputs: Inputs<A[0]>, options?: MapOptions): AsyncIterable<Awaited<R>>;
  /** Like map, with each input a list of arguments. */
  starmap(inputs: Inputs<A>, options?: MapOptions): AsyncIterable<Awaited<R>>;
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
      new Call(start(app, spec.name, args, origin));
  const [once, one, spawn] = [begin("function"), begin("map"), begin("spawn")];
  const made: RemoteFunction<A, R> = Object.assign((...args: A): R => local(...args), {
    app,
    local,
    spawn,
    remote: (...args: A) => once(...args).get(),
    map: (inputs: Inputs<A[0]>, options: MapOptions = {}) => each(pairs(inputs), one, options),
    starmap: (inputs: Inputs<A>, options: MapOptions = {}) => each(inputs, one, options),
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

  async function* pairs(inputs: Inputs<A[0]>): AsyncGenerator<A> {
    for await (const input of inputs) yield [input] as unknown as A; // map is for functions of one argument
  }
}

function start(app: string, name: string, args: unknown[], origin: CallOrigin): RemoteCall {
  const channel: Channel | undefined = currentChannel();
  if (!channel)
    throw new Error(`${name || "this function"}: a remote call needs hob; run it with \`hob run FILE::${name || "NAME"}\``);
  if (!name)
    throw new Error('a function that is called remotely needs a name: export it as a constant, or give the option name: "…"');
  const positional = args.map((argument, at) => encodeValue(argument, `argument ${at + 1} of ${name}`, "pass"));
  return channel.start(app, name, `[${positional.join(",")}]`, origin);
}

async function* each<A extends unknown[], R>(
  inputs: Inputs<A>,
  spawn: (...args: A) => Call<R>,
  options: MapOptions,
): AsyncGenerator<R> {
  const { ordered = true, returnExceptions = false } = options;
  type Done = { call: Call<R>; value: R } | { call: Call<R>; error: unknown };
  const waiting = new Map<Call<R>, Promise<Done>>();

  async function next(): Promise<R> {
    const promises = [...waiting.values()];
    const done = await (ordered ? (promises[0] as Promise<Done>) : Promise.race(promises));
    waiting.delete(done.call);
    if (!("error" in done)) return done.value;
    if (returnExceptions) return done.error as R;
    throw done.error;
  }

  try {
    for await (const args of inputs) {
      if (waiting.size >= inFlight) yield await next();
      const call = spawn(...args);
      const settled = call.get().then(
        (value): Done => ({ call, value }),
        (error: unknown): Done => ({ call, error }),
      );
      waiting.set(call, settled);
    }
    while (waiting.size > 0) yield await next();
  } finally {
    for (const call of waiting.keys()) call.cancel();
  }
}
