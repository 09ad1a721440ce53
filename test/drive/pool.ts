// An embedded pool for the tests of one file, in folders of its own; it is told to end when they are done.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { installRoot } from "../../base/install.ts";
import { connectEmbedded } from "../../cli/embedded.ts";
import { makeWorkplace } from "./workplace.ts";

export interface TestPool extends AsyncDisposable {
  connect(): Promise<string>;
}

/** The folders are told through this process's environment, as a user's shell would. */
export function startPool(): TestPool {
  const place = makeWorkplace({});
  Object.assign(process.env, place.environment);
  return {
    connect: connectEmbedded({ lingerMs: 30_000 }),
    async [Symbol.asyncDispose]() {
      await promisify(execFile)(join(installRoot, "bin/hob"), ["pool", "stop"], { env: process.env });
      place[Symbol.dispose]();
    },
  };
}
