// ⑧ Calls without a screen: follows a workbench's events, writes what functions print to stderr, and gives each call's outcome.

import { HobError } from "../base/errors.ts";
import type { Diagnostic, FunctionView, Workbench, WorkbenchEvent } from "../project/events.ts";
import { isDeployment } from "../proto/app-name.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { BuildLine, ImageBuild } from "../proto/gen/hob/v1/images.ts";
import { buildPlace, imageLabel } from "../proto/image.ts";
import { unknownName } from "./names.ts";

export interface Caller extends AsyncDisposable {
  /** Once the project has been described. */
  readonly project: Promise<{ functions: FunctionView[]; diagnostics: Diagnostic[] }>;
  /** Unknown functions and arguments that do not fit throw a HobError of kind `usage`. */
  call(
    app: string,
    name: string,
    positional: unknown[],
    keywords: Record<string, unknown>,
  ): { id: string; finished: Promise<CallInfo> };
  cancel(call: string): void;
  /** Resolves once control has the app's code, and rejects when that is refused. */
  settled(app: string): Promise<void>;
  /** A stream for a map of this function, whose output is shown from now on. Unknown functions are a HobError of kind `usage`. */
  dialMap(app: string, name: string, map: string): ReturnType<Workbench["dialMap"]>;
}

const finalStates = new Set(["succeeded", "failed", "cancelled"]);

/** A control that was killed is there again in a second or two; one of another build may never be ours. */
const patienceMs = 20_000;

/** A call on a warm pool has an outcome before this; a wait that is longer is explained. */
const quietMs = 700;

const withResult = (call: CallInfo, json: Buffer): CallInfo => ({ ...call, result: { json, large: undefined } });

const failedLines = 20; // of a step of an image

export function startCaller(workbench: Workbench, write: (text: string) => void): Caller {
  const project = Promise.withResolvers<{ functions: FunctionView[]; diagnostics: Diagnostic[] }>();
  const waiting = new Map<string, PromiseWithResolvers<CallInfo>>();
  const family = new Set<string>(); // our calls and those that they made: whose output is shown
  let diagnostics: Diagnostic[] = [];
  const phases = new Map<string, string>();
  const printedBySteps = new Map<string, BuildLine[]>(); // by image key
  let slow = false;
  let patience: NodeJS.Timeout | undefined;
  let reason = "";

  function take(event: WorkbenchEvent): void {
    switch (event.kind) {
      case "diagnostics":
        diagnostics = event.diagnostics;
        return;
      case "project":
        // What is wrong with the project's text follows in the same turn.
        setImmediate(() => project.resolve({ functions: event.functions, diagnostics }));
        return;
      case "call":
        takeCall(event.call);
        return;
      case "logs":
        for (const { call, text } of event.lines) if (family.has(call)) write(`${text}\n`);
        return;
      case "progress":
        takeProgress(event);
        return;
      case "image":
        takeBuild(event.build);
        return;
      case "notice":
        write(`hob: ${event.text}\n`);
        return;
      case "link":
        takeLink(event);
        return;
      default:
        return; // receipts, fleet samples and pauses are for a workbench
    }
  }

  function takeCall(call: CallInfo): void {
    if (family.has(call.parent)) family.add(call.id);
    if (waiting.has(call.id) && call.state !== "queued") {
      slow = false;
      clearTimeout(slowTimer);
    }
    if (!finalStates.has(call.state)) return;
    const asked = waiting.get(call.id);
    waiting.delete(call.id);
    if (!call.result?.large) asked?.resolve(call);
    else if (asked) workbench.value(call.result).then((json) => asked.resolve(withResult(call, json)), asked.reject);
  }

  /** A connection that is lost comes back, or it does not. */
  function takeLink({ state, detail }: Extract<WorkbenchEvent, { kind: "link" }>): void {
    if (state === "live") {
      clearTimeout(patience);
      patience = undefined;
      return;
    }
    if (state === "lost" && !patience) write(`hob: the connection to control is lost: ${detail}\n`);
    reason = detail;
    patience ??= setTimeout(() => fail(new HobError("unavailable", `no connection to control: ${reason}`)), patienceMs);
  }

  /** Long work is told of only when it is what a call waits for; one line for each phase, not for each step of it. */
  function takeProgress({ what, phase, message }: Extract<WorkbenchEvent, { kind: "progress" }>): void {
    tellPhase(what, `${phase}${message ? `: ${message}` : ""}`);
  }

  function tellPhase(what: string, phase: string): void {
    const line = `hob: ${what}: ${phase}\n`;
    if (phases.get(what) === line) return;
    phases.set(what, line);
    if (slow) write(line);
  }

  /** A line for each step; once one has failed, what it printed last. */
  function takeBuild({ key, image, state, step, lines }: ImageBuild): void {
    const printed = [...(printedBySteps.get(key) ?? []), ...lines].filter((line) => line.step === step).slice(-failedLines);
    printedBySteps.set(key, printed);
    const what = `image ${image ? imageLabel(image) : key}`;
    if (state === "failed" && waiting.size > 0) for (const { text } of printed) write(`  ${text}\n`);
    if (state !== "failed") tellPhase(what, state === "building" ? buildPlace(image, step) : state);
  }

  const slowTimer = setTimeout(() => {
    slow = true;
    for (const line of phases.values()) if (!line.endsWith(": ready\n")) write(line);
  }, quietMs);

  function fail(cause: unknown): void {
    project.reject(cause);
    for (const { reject } of waiting.values()) reject(cause);
    waiting.clear();
  }

  const pumping = (async () => {
    try {
      for await (const event of workbench.events) take(event);
      fail(new HobError("unavailable", "the workbench has ended before the call"));
    } catch (error) {
      fail(error);
    }
  })();
  project.promise.catch(() => {}); // whoever asks for it hears of it

  return {
    project: project.promise,
    call(app, name, positional, keywords) {
      const id = workbench.call(app, name, positional, keywords, "cli");
      const finished = Promise.withResolvers<CallInfo>();
      waiting.set(id, finished);
      family.add(id);
      return { id, finished: finished.promise };
    },
    cancel: (call) => workbench.cancel(call),
    settled: (app) => workbench.settled(app),
    async dialMap(app, name, map) {
      const { functions } = await project.promise;
      if (!isDeployment(app) && !functions.some(({ spec }) => spec.app === app && spec.name === name)) {
        const names = functions.map(({ spec }) => (spec.app === app ? spec.name : `${spec.app}/${spec.name}`));
        throw unknownName(`function in ${app} called`, name, names);
      }
      family.add(map);
      return workbench.dialMap(app);
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(patience);
      clearTimeout(slowTimer);
      await workbench[Symbol.asyncDispose]();
      await pumping;
    },
  };
}
