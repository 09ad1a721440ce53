// ② A child process: evaluates a bundled module's options. Bundle on stdin, {"specs": {NAME: spec}} or {"error": text} on stdout.

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

interface Request {
  code: string;
  root: string;
  /** Packages that only images have. */
  absent: string[];
}

const packageOf = (specifier: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "";

/** In the place of a package that is not here: modules that use it while they are evaluated go on, options do not depend on it. */
const get = (_target: unknown, name: string | symbol): unknown =>
  name === Symbol.toPrimitive ? () => "" : name === "then" ? undefined : anything;
/** esbuild makes an object with that prototype of what it imports. */
const prototype = new Proxy({}, { get, getPrototypeOf: () => null });
const anything: object = new Proxy(function absent() {}, {
  get,
  apply: () => anything,
  construct: () => anything,
  getPrototypeOf: () => prototype,
});

const { code, root, absent } = JSON.parse(await text(process.stdin)) as Request;
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr); // what the module prints is not the answer
console.log = console.info = console.error;

let answer: { specs: Record<string, unknown> } | { error: string };
try {
  const module: { exports: Record<string, unknown> } = { exports: {} };
  const run = new Function("module", "exports", "require", "__filename", "__dirname", code);
  const require = createRequire(`${root}/`);
  const requireOrNothing = (name: string): unknown => (absent.includes(packageOf(name)) ? anything : require(name));
  run(module, module.exports, requireOrNothing, `${root}/index.cjs`, root);
  const specs: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(module.exports)) {
    if (typeof value === "function" && "describe" in value && typeof value.describe === "function")
      specs[name] = value.describe();
    if (typeof value !== "object" || value === null || !(Symbol.for("hob.class") in value)) continue;
    for (const [method, made] of Object.entries(value as Record<string, { describe(): unknown }>)) {
      specs[`${name}.${method}`] = made.describe();
    }
  }
  answer = { specs };
} catch (error) {
  answer = { error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}
write(JSON.stringify(answer), () => process.exit(0));
