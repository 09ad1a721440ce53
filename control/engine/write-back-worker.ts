// ⑦ Entry of a thread that copies what the WAL has into the database, and syncs both: control's own thread does not wait for the disk.

import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { sentenceOf } from "../../base/errors.ts";
import type { WrittenBack } from "./write-back.ts";

if (!parentPort) throw new Error("control/engine/write-back-worker runs as a worker thread of control");
const port = parentPort;
const db = new DatabaseSync(workerData as string, { timeout: 0 });
db.exec("pragma synchronous = normal; pragma wal_autocheckpoint = 0");
const copy = db.prepare("pragma wal_checkpoint(passive)");

port.on("message", () => {
  let answer: WrittenBack;
  try {
    copy.get();
    // What came meanwhile, which is little: then little is left for control to do when the WAL is to begin anew.
    answer = { pages: (copy.get() as { log: number }).log, failure: "" };
  } catch (error) {
    answer = { pages: 0, failure: sentenceOf(error) };
  }
  port.postMessage(answer);
});
