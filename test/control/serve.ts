// Control as a process of its own, for tests that kill it: node serve.ts SOCKET STATE STORE [NATS]. Ends with its stdin.

import { openLog } from "../../base/log.ts";
import { parseNatsUrl } from "../../control/engine/nats/link.ts";
import { runControl } from "../../control/main.ts";

const [socket, state, store, nats] = process.argv.slice(2) as [string, string, string, string | undefined];
process.env["HOB_LOG_LEVEL"] ||= "fatal";
const shared = nats === undefined ? {} : { nats: parseNatsUrl(nats) };
const options = {
  socket,
  state,
  store,
  ...shared,
  build: "test",
  lingerMs: Number.POSITIVE_INFINITY,
  log: openLog("control", "-"),
};
process.stdin.resume().once("end", () => process.exit(1)); // the test is gone
await runControl(options, new AbortController().signal);
