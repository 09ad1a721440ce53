// ⑧ One shell over its stream with control: this terminal's bytes both ways under credit, its size, its signals, and the end.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { HobError, sentenceOf } from "../../base/errors.ts";
import { type ShellInput, type ShellOutput, ShellsClient } from "../../proto/gen/hob/v1/shell.ts";
import { fromServiceError } from "../../proto/status.ts";
import { channelOptionsOf, clientCredentials } from "../../proto/transport.ts";
import { createEscapes } from "./escapes.ts";
import { type HeldTerminal, holdTerminal } from "./terminal.ts";

export interface ShellRequest {
  app: string;
  function: string;
  version: string;
  container: string;
  command: string[];
  plain: boolean;
  /** Digest of an image; "" for the function's. */
  image: string;
}

export interface ShellEnding {
  /** The shell's own exit code, 128 + its signal, or 3 where the pool could not do it. */
  code: number;
  sentence: string | undefined;
}

type Input = NonNullable<ShellInput["input"]>;
type Output = NonNullable<ShellOutput["output"]>;

const outputWindow = 256 * 1024;
/** Credit goes back in such steps, not for every line. */
const creditStep = 32 * 1024;
const mostPiece = 32 * 1024;
/** A warm container is there before this; a wait that is longer is explained. */
const quietMs = 700;
const passedOn = ["TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "SHELL", "TZ"];

/** Runs until the shell ends, the person leaves it or a signal comes; the terminal is then as it was. */
export async function runShell(address: string, request: ShellRequest, opened: () => void = () => {}): Promise<ShellEnding> {
  const ending = await converse(address, request, opened);
  await nextTurn(); // stdin is paused only then, and whoever had it before may read again
  return ending;
}

async function converse(address: string, request: ShellRequest, opened: () => void): Promise<ShellEnding> {
  const { stdin, stdout, stderr } = process;
  const interactive = Boolean(stdin.isTTY && stdout.isTTY);
  const client = new ShellsClient(address, clientCredentials(address), channelOptionsOf(address));
  const stream = client.open();
  const done = Promise.withResolvers<ShellEnding>();
  using stack = new DisposableStack();
  stack.defer(() => client.close());
  stack.defer(() => stream.cancel());
  const send = (input: Input): void => void stream.write({ input });

  let terminal: HeldTerminal | undefined;
  let waiting = "";
  let isSlow = false;
  const tellWaiting = (): void => {
    if (isSlow && waiting) stderr.write(`hob: waiting: ${waiting}\n`);
  };
  const slow = setTimeout(() => {
    isSlow = true;
    tellWaiting();
  }, quietMs);
  stack.defer(() => clearTimeout(slow));
  const input = takeInput(send, interactive, () => done.resolve({ code: 3, sentence: "the shell was left, and has ended" }));
  stack.use(input);
  const credit = createCredit((bytes) => send({ $case: "credit", value: bytes }));

  const handlers: { [O in Output["$case"]]: (value: Extract<Output, { $case: O }>["value"]) => void } = {
    attach() {},
    waiting: ({ reason }) => {
      waiting = reason;
      tellWaiting();
    },
    opened: () => {
      clearTimeout(slow);
      opened();
      if (interactive) terminal = stack.use(holdTerminal());
      input.begin();
    },
    data: (data) => stdout.write(data, () => credit(data.length)),
    errors: (data) => stderr.write(data, () => credit(data.length)),
    credit: (bytes) => input.grant(bytes),
    // What was written before it is on its way to the terminal in order.
    ended: ({ code, signal, failure }) => {
      if (!failure) terminal?.inOrder();
      const sentence = failure?.message ?? (signal && !interactive ? `the command was ended by ${signal}` : undefined);
      stdout.write("", () => done.resolve({ code, sentence }));
    },
  };
  stream.on("data", ({ output }: ShellOutput) => {
    if (output) (handlers[output.$case] as (value: unknown) => void)(output.value);
  });
  listen(stream, done);
  for (const [name, code] of Object.entries({ SIGTERM: 143, SIGHUP: 129, SIGINT: 130 })) {
    const onSignal = (): void => {
      if (name === "SIGINT" && input.begun && !interactive)
        send({ $case: "signal", value: name }); // the command's to answer
      else done.resolve({ code, sentence: `the shell was ended by ${name}` });
    };
    process.on(name, onSignal);
    stack.defer(() => process.off(name, onSignal));
  }
  const resized = (): void => send({ $case: "size", value: { columns: stdout.columns, rows: stdout.rows } });
  if (interactive) stdout.on("resize", resized);
  stack.defer(() => stdout.off("resize", resized));

  const environment = Object.fromEntries(passedOn.flatMap((key) => (process.env[key] ? [[key, process.env[key]]] : [])));
  const size = interactive ? { columns: stdout.columns, rows: stdout.rows } : undefined;
  send({ $case: "start", value: { ...request, terminal: interactive, size, environment, credit: outputWindow } });
  return await done.promise;
}

function listen(stream: ClientDuplexStream<ShellInput, ShellOutput>, done: PromiseWithResolvers<ShellEnding>): void {
  const lost = (reason: string): void => done.resolve({ code: 3, sentence: reason });
  stream.on("error", (error) => {
    const cause = fromServiceError(error);
    const gone = cause instanceof HobError && cause.kind === "unavailable";
    lost(gone ? `the connection to control is lost: ${cause.message}` : sentenceOf(cause));
  });
  stream.on("end", () => lost("control ended the shell"));
}

function createCredit(grant: (bytes: number) => void): (bytes: number) => void {
  let owed = 0;
  return (bytes) => {
    owed += bytes;
    if (owed < creditStep) return;
    grant(owed);
    owed = 0;
  };
}

interface InputSide extends Disposable {
  readonly begun: boolean;
  begin(): void;
  grant(bytes: number): void;
}

/** stdin, read only as fast as the shell takes it; ~. counts even when it takes nothing. */
function takeInput(send: (input: Input) => void, interactive: boolean, leave: () => void): InputSide {
  const { stdin } = process;
  const withoutEscapes = createEscapes();
  let credit = 0;
  let waiting = Buffer.alloc(0);
  let atEnd = false;
  let endSent = false;
  let begun = false;

  function flush(): void {
    while (waiting.length > 0 && credit > 0) {
      const piece = waiting.subarray(0, Math.min(credit, mostPiece));
      credit -= piece.length;
      waiting = waiting.subarray(piece.length);
      send({ $case: "data", value: piece });
    }
    if (waiting.length > 0) {
      if (!interactive) stdin.pause(); // a person's keys are read on, for ~.
      return;
    }
    if (!atEnd) stdin.resume();
    else if (!endSent) send({ $case: "end", value: true });
    endSent = atEnd;
  }

  const onData = (chunk: Buffer | string): void => {
    const bytes = Buffer.from(chunk as string); // Ink may have made stdin one of strings
    const typed = interactive ? withoutEscapes(bytes) : { data: bytes, leave: false };
    if (typed.leave) {
      leave();
      return;
    }
    // Keys that nobody reads any more are dropped, as a terminal does.
    if (interactive && waiting.length > mostPiece) return;
    waiting = Buffer.concat([waiting, typed.data]);
    flush();
  };
  const onEnd = (): void => {
    atEnd = true;
    flush();
  };

  return {
    get begun() {
      return begun;
    },
    begin() {
      begun = true;
      stdin.on("data", onData);
      stdin.on("end", onEnd);
      if (stdin.readableEnded) onEnd();
    },
    grant(bytes) {
      credit += bytes;
      if (begun) flush();
    },
    [Symbol.dispose]() {
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      stdin.pause();
    },
  };
}
