// ③ What has to wait until control has an app's code: streams for maps, deployments. It goes the way of calls.

import { HobError } from "../base/errors.ts";

export interface OnceSettled<T> {
  /** Resolves once control has the app's code; rejects when that is refused. */
  of(app: string): Promise<T>;
  /** Something may be ready that was not. */
  release(): void;
  /** The code of an app did not reach control. */
  refuse(app: string, message: string): void;
  close(): void;
}

/** `open` gives what is waited for when control can be asked for functions of that app, undefined until then. */
export function createOnceSettled<T>(open: (app: string) => T | undefined): OnceSettled<T> {
  let waiting: { app: string; resolve(opened: T): void; reject(cause: Error): void }[] = [];

  function end(cause: HobError, app?: string): void {
    const [ended, rest] = [waiting.filter((one) => app === undefined || one.app === app), waiting];
    waiting = rest.filter((one) => !ended.includes(one));
    for (const { reject } of ended) reject(cause);
  }

  return {
    of(app) {
      const opened = open(app);
      return opened === undefined
        ? new Promise<T>((resolve, reject) => void waiting.push({ app, resolve, reject }))
        : Promise.resolve(opened);
    },
    release() {
      waiting = waiting.filter(({ app, resolve }) => {
        const opened = open(app);
        if (opened !== undefined) resolve(opened);
        return opened === undefined;
      });
    },
    refuse: (app, message) => end(new HobError("function", message), app),
    close: () => end(new HobError("cancelled", "the workbench was closed")),
  };
}
