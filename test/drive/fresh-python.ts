// What a fresh interpreter answers: for each folder a process that has imported nothing of it before, forked from one that waits.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { installRoot } from "../../base/install.ts";

const server = `
import functools, importlib, json, os, sys
sys.path.insert(0, sys.argv[1])
import hob
sys.dont_write_bytecode = True
for line in sys.stdin:
    folder, names = json.loads(line)
    if os.fork() == 0:
        try:
            os.chdir(folder)
            sys.path.insert(0, folder)
            app = importlib.import_module("app")
            def call(name):
                head, _, method = name.partition(".")
                return getattr(getattr(app, head)(), method)() if method else getattr(app, head)()
            said = json.dumps([call(name) for name in names])
        except BaseException as error:
            said = json.dumps(repr(error))
        print(said, flush=True)
        os._exit(0)
    os.wait()
`;

export interface FreshPython extends AsyncDisposable {
  /** The results of app.py's functions and methods ("f", "Model.f"), called without arguments. */
  answers(folder: string, names: readonly string[]): Promise<unknown>;
}

export function startFreshPython(): FreshPython {
  const child = spawn("python3", ["-c", server, join(installRoot, "sdk/python")], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async answers(folder, names) {
      child.stdin.write(`${JSON.stringify([folder, names])}\n`);
      return JSON.parse((await lines.next()).value ?? "null");
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.stdin.end();
      await closed;
    },
  };
}
