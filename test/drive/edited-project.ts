// A project under edit as its user has it: the real workbench on real files, a real pool; saves, their receipts, and calls with their results.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { silentLog } from "../../base/log.ts";
import { buildId } from "../../cli/build.ts";
import type { Receipt, WorkbenchEvent } from "../../project/events.ts";
import { openWorkbench } from "../../project/workbench.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";

export type Sources = Record<string, string>;

export interface EditedProject extends AsyncDisposable {
  readonly root: string;
  /** Saves the files that differ, as editors do, and waits until the receipt is complete: loaded, failed, or nothing to do. */
  save(files: Sources): Promise<Receipt>;
  /** The same for a text that has a fault: resolves once that is told. */
  saveFaulty(files: Sources): Promise<string>;
  call(name: string, ...args: unknown[]): Promise<unknown>;
}

const patienceMs = 60_000;

/** One project with one app; resolves once the pool can take calls of it. */
export async function openEdited(app: string, files: Sources, connect: () => Promise<string>): Promise<EditedProject> {
  const root = mkdtempSync(join(tmpdir(), "hob-edited-"));
  const present: Sources = {};
  const write = (wanted: Sources): void => {
    for (const [path, text] of Object.entries(wanted)) {
      if (present[path] === text) continue;
      present[path] = text;
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, `.${path.replaceAll("/", "_")}.tmp`), text);
      renameSync(join(root, `.${path.replaceAll("/", "_")}.tmp`), join(root, path));
    }
    for (const path of Object.keys(present)) {
      if (path in wanted) continue;
      delete present[path];
      rmSync(join(root, path));
    }
  };
  write(files);
  const workbench = await openWorkbench({ root, connect, build: buildId(), client: "test", log: silentLog });
  const seen: WorkbenchEvent[] = [];
  const listeners = new Set<() => void>();
  const reading = (async () => {
    for await (const event of workbench.events) {
      seen.push(event);
      for (const listener of [...listeners]) listener();
    }
  })();

  /** The first event, of those to come or from `from` on, that `accept` makes something of. */
  function heard<T>(what: string, accept: (event: WorkbenchEvent) => T | undefined, from = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      let at = from;
      const end = (settle: () => void): void => {
        clearTimeout(limit);
        listeners.delete(look);
        settle();
      };
      const limit = setTimeout(() => end(() => reject(new Error(`${app}: ${what} did not come: ${told()}`))), patienceMs);
      const look = (): void => {
        while (at < seen.length) {
          const found = accept(seen[at++]!);
          if (found === undefined) continue;
          end(() => resolve(found));
          return;
        }
      };
      listeners.add(look);
      look();
    });
  }

  const told = (): string =>
    seen
      .flatMap((event) => (event.kind === "notice" ? event.text : event.kind === "receipt" ? JSON.stringify(event.receipt) : []))
      .slice(-4)
      .join("\n");

  async function call(name: string, ...args: unknown[]): Promise<unknown> {
    const id = workbench.call(app, name, args, {}, "key");
    const final = await heard(`the result of ${name}`, (event) =>
      event.kind === "call" && event.call.id === id && event.call.finishedAtMs > 0 ? event.call : undefined,
    );
    return returned(final);
  }

  await heard("the project", (event) => (event.kind === "project" && event.functions.length > 0 ? true : undefined));
  await heard("a live link", (event) => (event.kind === "link" && event.state === "live" ? true : undefined));
  return {
    root,
    async save(wanted) {
      const from = seen.length;
      write(wanted);
      return heard(
        "a receipt",
        (event) =>
          event.kind === "receipt" &&
          (event.receipt.state === "loaded" ||
            event.receipt.state === "failed" ||
            event.receipt.nothing !== undefined ||
            (event.receipt.state === "shipped" && event.receipt.changes.length === 0))
            ? event.receipt
            : undefined,
        from,
      );
    },
    async saveFaulty(wanted) {
      const from = seen.length;
      write(wanted);
      return heard("a diagnostic", (event) => (event.kind === "diagnostics" ? event.diagnostics[0]?.message : undefined), from);
    },
    call,
    async [Symbol.asyncDispose]() {
      await workbench[Symbol.asyncDispose]();
      await reading;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** What a call returned; a failure as {failed: "TYPE: MESSAGE", lines}. */
function returned({ failure, result }: CallInfo): unknown {
  if (failure) return { failed: `${failure.type}: ${failure.message}`, lines: failure.frames.map((frame) => frame.line) };
  return JSON.parse(result?.json.toString() ?? "null");
}
