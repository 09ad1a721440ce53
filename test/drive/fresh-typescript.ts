// What a fresh interpreter answers: for each folder an isolate that has evaluated none of its modules, its TypeScript read by Node itself.

import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { installRoot } from "../../base/install.ts";

const program = `
const { registerHooks } = require("node:module");
const { parentPort, workerData: { entries, sdk } } = require("node:worker_threads");
registerHooks({ resolve: (specifier, context, next) => next(specifier === "hob" ? sdk : specifier, context) });

async function settled(returned) {
  const value = await returned;
  if (typeof value !== "object" || value === null || !("next" in value)) return value;
  const items = [];
  for await (const item of value) items.push(item);
  return items;
}

async function answers() {
  const said = [];
  for (const [file, name] of entries) {
    const [head, method] = name.split(".");
    const declared = (await import(file))[head];
    said.push(await settled(method ? declared[method]() : declared()));
  }
  return said;
}

answers().then(
  (said) => parentPort.postMessage(JSON.stringify(said)),
  (error) => parentPort.postMessage(JSON.stringify(String(error.stack))),
);
`;

/** The results of functions and methods ([path, "f"], [path, "Model.f"]), called without arguments. */
export async function freshAnswers(
  folder: string,
  entries: readonly (readonly [path: string, name: string])[],
): Promise<unknown> {
  const worker = new Worker(program, {
    eval: true,
    execArgv: ["--experimental-transform-types", "--no-warnings"],
    workerData: {
      entries: entries.map(([path, name]) => [join(folder, path), name]),
      sdk: `file://${join(installRoot, "sdk/typescript/index.ts")}`,
    },
  });
  try {
    const [said] = await once(worker, "message");
    return JSON.parse(said);
  } finally {
    await worker.terminate();
  }
}
