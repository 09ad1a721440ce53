// Control as a process of its own, for tests that kill it: node serve.ts SOCKET STATE STORE. Ends with its stdin.

import { openLog } from "../../base/log.ts";
import { runControl } from "../../control/main.ts";

const [socket, state, store] = process.argv.slice(2) as [string, string, string];
process.env["HOB_LOG_LEVEL"] ||= "fatal";
const options = { socket, state, store, build: "test", lingerMs: Number.POSITIVE_INFINITY, log: openLog("control", "-") };
process.stdin.resume().once("end", () => process.exit(1)); // the test is gone
await runControl(options, new AbortController().signal);
