// ④⑦ The end of an event-loop turn: decide, record as one transaction, and only then send. What was sent is therefore recorded. An outcome that
// somebody waits for goes before the decision, where no call waits for that.

import { HobError, sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Rest } from "../base/rest.ts";

const retryMs = 250;

interface TurnSteps {
  /** Places what can be placed now. Runs before the commit, so that a dispatch and its record are one transaction. */
  decide(): void;
  /** What it answers with is waited for before anything is sent: engine.ts. */
  commit(): Promise<void> | undefined;
  /** Called once when recording begins to fail, or to wait. Nothing that waits is lost. */
  onStuck(error: HobError): void;
  /** Calls that the decision could place. */
  queued(): number;
}

export interface Turn extends Disposable {
  /** Why nothing can be recorded at present, if so; new work is refused meanwhile. */
  readonly stuck: HobError | undefined;
  /** Why what is recorded is not durable yet, if so: what is asked is taken in, and answered once it is. */
  readonly delayed: HobError | undefined;
  delay(error: HobError | undefined): void;
  begin(steps: TurnSteps): void;
  /** Something changed: the turn ends after the current callback. */
  wake(): void;
  /** Sends to nodes go first: they are what a person waits for. */
  toNode(send: () => void): void;
  toClient(send: () => void): void;
  /** As toClient, for what a person waits for: a call's outcome. */
  toWaiting(send: () => void): void;
  /** Ends the turn now. */
  settle(): void;
}

export function createTurn(log: Log, rest: Pick<Rest, "worked">): Turn {
  let steps: TurnSteps | undefined;
  let scheduled = false;
  let deciding = false; // what it wants sent goes with this turn
  let stuck: HobError | undefined;
  let retry: NodeJS.Timeout | undefined;
  let grouped: NodeJS.Immediate | undefined; // the end of an iteration in which something has gone through already
  let toNodes: (() => void)[] = [];
  let toClients: (() => void)[] = [];
  let awaited = false; // one of those is an outcome
  let delayed: HobError | undefined;
  let held = 0; // turns of which the sends wait until their commits are durable
  let lastHeld: Promise<void> = Promise.resolve();

  /** False when it could not be recorded; a promise where it is durable only later. */
  function recorded(): boolean | Promise<void> {
    let durable: Promise<void> | undefined;
    try {
      durable = steps?.commit();
    } catch (error) {
      const first = stuck === undefined;
      stuck = error instanceof HobError ? error : new HobError("internal", sentenceOf(error), { cause: error });
      if (first) {
        log.error({ error: stuck.sentence }, "recording failed; trying again");
        steps?.onStuck(stuck);
      }
      retry ??= setTimeout(() => {
        retry = undefined;
        settle();
      }, retryMs);
      return false;
    }
    if (stuck) log.info("recording works again");
    stuck = undefined;
    return durable ?? true;
  }

  /** In the order of their turns. A commit that never becomes durable ends this control's time with the pool: nobody hears of it. */
  function hold(durable: boolean | Promise<void>, send: () => void): void {
    held++;
    lastHeld = lastHeld
      .then(async () => void (await durable))
      .then(
        () => {
          held--;
          if (steps) send();
        },
        () => {
          held--;
        },
      );
  }

  /** Records, then sends; false when it could not be recorded. */
  function tell(): boolean {
    const durable = recorded();
    if (!durable) return false;
    const sends = [toNodes, toClients];
    toNodes = [];
    toClients = [];
    awaited = false;
    const tellAll = (): void => {
      for (const list of sends) for (const send of list) send();
    };
    if (durable === true && held === 0) tellAll();
    else if (sends.some((list) => list.length > 0)) hold(durable, tellAll);
    return true;
  }

  function settle(): void {
    scheduled = false;
    if (awaited && steps?.queued() === 0) {
      if (tell()) later(); // the outcome is on its way before anything is decided
      return;
    }
    deciding = true;
    try {
      steps?.decide();
    } finally {
      deciding = false;
    }
    if (tell()) rest.worked();
  }

  /** The first change of an event-loop iteration goes through at once, the others of that iteration together at its end. */
  function wake(): void {
    if (scheduled || retry) return;
    scheduled = true;
    if (grouped) return;
    process.nextTick(() => {
      if (!scheduled) return;
      endWithIteration();
      settle();
    });
  }

  function endWithIteration(): void {
    grouped ??= setImmediate(() => {
      grouped = undefined;
      if (scheduled) settle();
    });
  }

  function later(): void {
    scheduled = true;
    endWithIteration();
  }

  return {
    get stuck() {
      return stuck;
    },
    get delayed() {
      return delayed;
    },
    delay(error) {
      delayed = error;
      if (error) steps?.onStuck(error);
    },
    begin(given) {
      steps = given;
    },
    wake,
    toNode(send) {
      toNodes.push(send);
      if (!deciding) wake();
    },
    toClient(send) {
      toClients.push(send);
      if (!deciding) wake();
    },
    toWaiting(send) {
      awaited = true;
      toClients.push(send);
      if (!deciding) wake();
    },
    settle,
    [Symbol.dispose]() {
      clearTimeout(retry);
      clearImmediate(grouped);
      scheduled = false;
      steps = undefined;
    },
  };
}
