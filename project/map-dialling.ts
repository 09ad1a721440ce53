// ③ Streams for maps, which go the way of calls: not before control has the code that they are meant for.

import { HobError } from "../base/errors.ts";
import type { CallsClient } from "../proto/gen/hob/v1/calls.ts";

type Stream = ReturnType<CallsClient["map"]>;

export interface MapDialling {
  dial(app: string): Promise<Stream>;
  /** Something may be ready that was not. */
  release(): void;
  /** The code of an app did not reach control. */
  refuse(app: string, message: string): void;
  close(): void;
}

/** `open` gives a stream when control can be asked for functions of that app, undefined until then. */
export function createMapDialling(open: (app: string) => Stream | undefined): MapDialling {
  let waiting: { app: string; resolve(stream: Stream): void; reject(cause: Error): void }[] = [];

  function end(cause: HobError, app?: string): void {
    const [ended, rest] = [waiting.filter((one) => app === undefined || one.app === app), waiting];
    waiting = rest.filter((one) => !ended.includes(one));
    for (const { reject } of ended) reject(cause);
  }

  return {
    dial(app) {
      const stream = open(app);
      return stream
        ? Promise.resolve(stream)
        : new Promise<Stream>((resolve, reject) => void waiting.push({ app, resolve, reject }));
    },
    release() {
      waiting = waiting.filter(({ app, resolve }) => {
        const stream = open(app);
        if (stream) resolve(stream);
        return !stream;
      });
    },
    refuse: (app, message) => end(new HobError("function", message), app),
    close: () => end(new HobError("cancelled", "the workbench was closed")),
  };
}
