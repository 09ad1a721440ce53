// ⑦ The WAL, written back to the database by a thread (write-back-worker.ts) that is started when it is needed first.

import type { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { HobError } from "../../base/errors.ts";
import { entryFile } from "../../base/install.ts";

/** `pages`: that the WAL has. */
export interface WrittenBack {
  pages: number;
  failure: string;
}

/**
 * Beyond so many pages (of 4 KiB) the WAL is to begin anew, for which its last pages are written back while nobody adds to them: a wait of up to 70 ms for the disk. While
 * somebody would feel it, only where there are four times as many.
 */
const mostPages = { calm: 32 * 1024, patient: 128 * 1024 };

export interface WriteBack extends Disposable {
  /** Unless it is under way. `patient`: somebody waits for what is recorded. Throws what went wrong the last time. */
  run(patient: boolean): void;
}

export function createWriteBack(db: DatabaseSync, file: string): WriteBack {
  let thread: Worker | undefined;
  let busy = false;
  let most = mostPages.calm;
  let problem: unknown;

  function done({ pages, failure }: WrittenBack): void {
    busy = false;
    try {
      if (failure !== "") throw new HobError("unavailable", `writing ${file} back: ${failure}`);
      if (pages > most) db.exec("pragma wal_checkpoint(passive)");
    } catch (error) {
      problem = error;
    }
  }

  function start(): Worker {
    const worker = new Worker(entryFile("control/engine/write-back-worker"), { workerData: file, name: "write-back" });
    worker.unref();
    worker.on("message", done);
    worker.on("error", (error) => {
      problem = error;
      busy = false;
      thread = undefined; // another is started
    });
    return worker;
  }

  return {
    run(patient) {
      most = patient ? mostPages.patient : mostPages.calm;
      const former = problem;
      problem = undefined;
      if (former) throw former;
      if (busy) return;
      busy = true;
      thread ??= start();
      thread.postMessage("");
    },
    [Symbol.dispose]() {
      void thread?.terminate();
    },
  };
}
