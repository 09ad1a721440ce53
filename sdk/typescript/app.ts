// ② Apps: named sets of functions, declared in code.

import { makeClass, type RemoteClass } from "./class.ts";
import { type FetchOptions, makeEndpoint } from "./endpoint.ts";
import { makeFunction, type RemoteFunction } from "./function.ts";
import { type FunctionOptions, type FunctionSpec, makeSpec } from "./spec.ts";

/** Handlers wait for others most of their time. */
const standardConcurrency = 16;

/** The functions that belong together: they are watched, deployed and shown under one name. */
export class App {
  readonly name: string;
  readonly functions: RemoteFunction<never[], unknown>[] = [];

  constructor(name: string) {
    if (typeof name !== "string" || !/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(name)) {
      throw new TypeError(
        `App(${JSON.stringify(name)}): an app's name is 1 to 63 lower-case letters, digits and - . _; write for example new App("images")`,
      );
    }
    this.name = name;
  }

  /**
   * Makes a function of this app. Options are checked where they are written. `constantName` is put there by `hob`, which reads it
   * from `export const NAME = app.function(…)`.
   */
  function<A extends unknown[], R>(options: FunctionOptions, body: (...args: A) => R, constantName = ""): RemoteFunction<A, R> {
    if (typeof options === "function")
      throw new TypeError("app.function(options, fn): the options are missing; write app.function({}, fn)");
    if (typeof body !== "function") throw new TypeError("app.function(options, fn): fn is not a function");
    const made = makeFunction(this.name, makeSpec(options.name ?? (constantName || body.name), options), body);
    this.functions.push(made as unknown as RemoteFunction<never[], unknown>);
    return made;
  }

  /**
   * Makes a function of this app that answers all HTTP requests below /APP/PATH, by default at its own name: `app.fetch({}, (request) => new Response("hello"))`,
   * or the `fetch` of a framework. One process answers sixteen at a time, unless `concurrency` says otherwise.
   */
  fetch(
    options: FetchOptions,
    handler: (request: Request) => Response | Promise<Response>,
    constantName = "",
  ): RemoteFunction<[Request], Response | Promise<Response>> {
    if (typeof options === "function")
      throw new TypeError("app.fetch(options, handler): the options are missing; write app.fetch({}, handler)");
    if (typeof handler !== "function")
      throw new TypeError(
        "app.fetch(options, handler): handler is not a function; of an app of a framework give its fetch: api.fetch",
      );
    const { path: _path, public: _public, maxBody: _maxBody, ...rest } = options;
    const name = options.name ?? (constantName || handler.name);
    const spec = makeSpec(name, { concurrency: standardConcurrency, ...rest });
    const made = makeFunction(this.name, { ...spec, endpoint: makeEndpoint(options, name) }, handler);
    this.functions.push(made as unknown as RemoteFunction<never[], unknown>);
    return made;
  }

  /**
   * Makes a class of this app: `app.cls({ memory: "1GiB" }, class { enter() {…} predict(x: number) {…} exit() {…} })`. One instance a process;
   * `enter` runs before its first call and is part of the load, `exit` when the process ends. The methods are functions: `Model.predict.remote(1)`.
   */
  cls<T extends object>(options: FunctionOptions, body: new () => T, constantName = ""): RemoteClass<T> {
    if (typeof options === "function")
      throw new TypeError("app.cls(options, class): the options are missing; write app.cls({}, class { … })");
    if (typeof body !== "function" || body.prototype === undefined)
      throw new TypeError("app.cls(options, class): the second argument is not a class");
    if (body.length > 0)
      throw new TypeError(
        `${constantName || body.name}: its constructor takes arguments, and hob has none to give; set up in enter()`,
      );
    const { made, methods } = makeClass(this.name, options, body, options.name ?? (constantName || body.name));
    this.functions.push(...methods);
    return made;
  }

  /** What it declares, as `hob` reads it. */
  describe(): { name: string; functions: FunctionSpec[] } {
    return { name: this.name, functions: this.functions.map((made) => made.describe()) };
  }
}
