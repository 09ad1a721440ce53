// ⑤ Entry of a FUSE worker thread: joins the loop to the daemon's main thread.

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { runSessionLoop } from "./session-loop.ts";
import type { FromWorker, ToWorker, WorkerData } from "./worker-messages.ts";

if (!parentPort) throw new Error("fusefs/worker runs as a worker thread of fusefs/daemon");
const port = parentPort;
Error.stackTraceLimit = 4; // errors on this thread are answers to the kernel, mostly

runSessionLoop(workerData as WorkerData, {
  send: (message: FromWorker) => port.postMessage(message),
  receive: () => receiveMessageOnPort(port)?.message as ToWorker | undefined,
});
