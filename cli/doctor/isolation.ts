// ⑤ `hob doctor --isolation`: the probe, called as any function is, in a real container of the pool.

import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { HobError } from "../../base/errors.ts";
import { installRoot } from "../../base/install.ts";
import { runFolder } from "../../base/paths.ts";
import { buildId } from "../build.ts";
import { connectTo } from "../control-address.ts";
import { lingerMs } from "../linger.ts";

export interface IsolationRow {
  check: string;
  tries: string;
  held: boolean;
  /** What happened where it did not hold. */
  found: string;
}

const probeMemoryBytes = 256 * 2 ** 20;

/** Runs the probe on the pool; starts this installation's own where none is named. */
export async function probeIsolation(control: string | undefined): Promise<IsolationRow[]> {
  const connect = connectTo(control, lingerMs(undefined));
  const address = await connect();
  const [{ openWorkbench }, { startCaller }, { silentLog }] = await Promise.all([
    import("../../project/workbench.ts"),
    import("../caller.ts"),
    import("../../base/log.ts"),
  ]);
  const root = join(installRoot, "cli/doctor/isolation");
  const workbench = await openWorkbench({ root, connect, build: buildId(), client: "doctor", log: silentLog });
  await using caller = await startCaller(workbench, () => {});
  await caller.project;
  const socket = address.replace(/^unix:/, "");
  const facts = {
    control: socket,
    paths: [runFolder(), dirname(socket)],
    memory: probeMemoryBytes,
    addresses: Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).flatMap(({ family, internal, address: own }) => (family === "IPv4" && !internal ? [own] : [])),
    ),
  };
  const { finished } = caller.call("hob-isolation", "probe", [facts], {});
  const call = await finished;
  if (call.failure || !call.result) {
    throw new HobError("unavailable", `the isolation probe: ${call.failure?.message ?? "it gave no result"}`);
  }
  return JSON.parse(call.result.json.toString()) as IsolationRow[];
}
