// ⑥ Classes as user code sees them: one instance a process, `enter` before its first call, `exit` after its last; each method a function.

import { makeFunction, type RemoteFunction } from "./function.ts";
import { type FunctionOptions, makeSpec } from "./spec.ts";

type Life = "enter" | "exit";

/** Each method, called with `.remote(…)` on the pool and with `.local(…)` on an instance of this process. */
export type RemoteClass<T> = {
  readonly [K in Exclude<keyof T, Life> as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? RemoteFunction<A, Promise<Awaited<R>>>
    : never;
};

type Instance = Record<string, (...args: unknown[]) => unknown>;
type InstanceClass = new () => Instance;

/** Both are under symbols, since the runner is not in the bundle. */
const classKey = Symbol.for("hob.class");

/** Names of a class's own methods that can be called from elsewhere; a leading underscore keeps one to the class. */
function methodNames({ prototype }: InstanceClass): string[] {
  return Object.getOwnPropertyNames(prototype).filter((name) => {
    if (name === "constructor" || name === "enter" || name === "exit" || name.startsWith("_")) return false;
    return typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function";
  });
}

export function makeClass<T extends object>(
  app: string,
  options: FunctionOptions,
  body: new () => T,
  name: string,
): { made: RemoteClass<T>; methods: RemoteFunction<never[], unknown>[] } {
  const type = body as unknown as InstanceClass;
  let instance: Promise<Instance> | undefined;
  const here = (): Promise<Instance> => {
    instance ??= (async () => {
      const fresh = new type();
      await fresh["enter"]?.();
      return fresh;
    })();
    return instance;
  };
  const methods = methodNames(type).map((method) => {
    const spec = makeSpec(`${name}.${method}`, { ...options, name: `${name}.${method}` });
    return [method, makeFunction(app, spec, async (...args: never[]) => (await here())[method]?.(...args))] as const;
  });
  const made = Object.fromEntries(methods) as RemoteClass<T>;
  Object.defineProperty(made, classKey, { value: body });
  return { made, methods: methods.map(([, method]) => method as unknown as RemoteFunction<never[], unknown>) };
}
