// ⑧ ctrl-c and its kin as an AbortSignal: the first asks for an orderly end, the second ends at once.

import { HobError } from "../base/errors.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** 128 + SIGINT, as shells count. */
const interruptedCode = 130;

/** Aborted by the first of SIGINT, SIGTERM and SIGHUP; dispose of it to give the signals back. */
export function interruptSignal(): { signal: AbortSignal; readonly by: NodeJS.Signals | undefined } & Disposable {
  const controller = new AbortController();
  let by: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(interruptedCode);
    by = name;
    controller.abort(new HobError("cancelled", `ended by ${name}`));
  };
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    get by() {
      return by;
    },
    [Symbol.dispose]: () => {
      for (const name of signals) process.off(name, onSignal);
    },
  };
}

/** What `work` gives, or at once the signal's reason. */
export function unlessInterrupted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
