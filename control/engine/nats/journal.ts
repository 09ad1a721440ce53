// ⑦ The journal as its owner writes it: commits in groups, a message at a time, each with the number of the one before it. NATS takes a message only
// where that one is the last, so a control of which the pool was taken can add nothing any more, whatever it believes. A message at a time, because a
// number does not say whose message it is: one that expects a message on its way would be taken behind the message by which another control has the pool.

import { HobError, sentenceOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { type JournalCommit, JournalPart, type JournalWrite } from "../../../proto/gen/hob/v1/journal.ts";
import { schema } from "../migrations.ts";
import type { CommitJournal } from "../writes.ts";
import { partsOf, writeOf } from "./entries.ts";
import type { NatsLink } from "./link.ts";

const mostPartBytes = 768 << 10;
const headroomBytes = 4 << 10; // of NATS's limit, for the header and the part's other fields
const answerMs = 2_000;
const againMs = 200;
const lookMs = 500;
/** What is not durable by then when control ends was told to nobody. */
const lastWordMs = 5_000;
/** After which people are told that what they did waits. */
const patienceMs = 1_500;
/** After which another server is asked: the one that is connected may be cut off from the others. */
const moveMs = 6_000;

interface Message {
  readonly payload: Uint8Array;
  readonly sequence: number;
  /** Number of the last commit that it makes whole. */
  readonly commit: number;
}

interface JournalParts {
  link: NatsLink;
  owner: string;
  /** Where the journal and the database stand: nothing follows in the journal. */
  from: { commit: number; sequence: number };
  log: Log;
  /** What waits, and why; undefined: it goes on. */
  delayed(error: HobError | undefined): void;
  /** Another control has the pool. */
  lost(error: HobError): void;
}

export interface Journal extends CommitJournal, AsyncDisposable {
  /** Written since it was opened. */
  readonly bytes: number;
  /** The last commit that is durable, and the message with which that was so. */
  readonly durable: { commit: number; sequence: number };
}

const wrongLastSequence = 10_071;

/** Takes the pool: from now on only this owner's messages are taken. False where somebody has written after `sequence`. */
export async function takeJournal(link: NatsLink, owner: string, sequence: number): Promise<boolean> {
  const [empty] = partsOf([], { owner, schema, mostBytes: mostPartBytes });
  try {
    await link.stream.publish(link.journal.subject, empty!, {
      expect: { lastSequence: sequence },
      timeout: answerMs,
    });
    return true;
  } catch (error) {
    if (isWrongSequence(error)) return false;
    throw error;
  }
}

const isWrongSequence = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === wrongLastSequence;

export function openJournal(parts: JournalParts): Journal {
  const { link, owner, from, log } = parts;
  const mostBytes = Math.min(mostPartBytes, (link.connection.info?.max_payload ?? 1 << 20) - headroomBytes);
  let writes: JournalWrite[] = [];
  let commit = from.commit;
  let waiting: JournalCommit[] = [];
  const outstanding: Message[] = []; // the first is on its way, the others are the rest of its commits
  let firstSinceMs = 0; // it is the first
  let lastSequence = from.sequence;
  let durable = { ...from };
  let bytes = 0;
  let trying = 0; // tells answers to this try from those to a former one
  let recovering = false;
  let ended: HobError | undefined;
  let late: HobError | undefined;
  let reason = "";
  let movedAtMs = 0;
  const promised: { commit: number; promise: Promise<void>; resolve(): void; reject(error: unknown): void }[] = [];

  function publish(): void {
    const [message] = outstanding;
    if (!message || ended) return;
    const attempt = trying;
    link.stream
      .publish(link.journal.subject, message.payload, { expect: { lastSequence: message.sequence - 1 }, timeout: answerMs })
      .then(
        () => {
          if (attempt === trying) taken();
        },
        (error: unknown) => {
          if (attempt !== trying || ended) return;
          reason = sentenceOf(error);
          void recover();
        },
      );
  }

  /** What is committed while a message is on its way goes together in the next. */
  function flush(): void {
    if (recovering || ended || waiting.length === 0 || outstanding.length > 0) return;
    const last = waiting.at(-1)!.number;
    const before = lastSequence;
    const payloads = partsOf(waiting, { owner, schema, mostBytes });
    waiting = [];
    for (const [n, payload] of payloads.entries()) {
      const whole = n === payloads.length - 1;
      lastSequence = before + n + 1;
      bytes += payload.byteLength;
      outstanding.push({ payload, sequence: lastSequence, commit: whole ? last : 0 });
    }
    firstSinceMs = performance.now();
    publish();
  }

  /** The message that was on its way is in the journal. */
  function taken(): void {
    const { commit: whole, sequence } = outstanding.shift()!;
    firstSinceMs = performance.now();
    if (whole > 0) durable = { commit: whole, sequence };
    while (promised[0] && promised[0].commit <= durable.commit) promised.shift()!.resolve();
    if (late && outstanding.length === 0) {
      late = undefined;
      log.info("NATS takes what is recorded again");
      parts.delayed(undefined);
    }
    if (recovering) return;
    publish();
    flush();
  }

  /** An answer did not come, or was no: what is in the journal says how far it got, and the rest is said again. */
  async function recover(): Promise<void> {
    if (recovering) return;
    recovering = true;
    trying++;
    while (!ended) {
      try {
        if (await caughtUp()) break;
      } catch (error) {
        reason = sentenceOf(error);
      }
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
    recovering = false;
    publish();
    flush();
  }

  async function caughtUp(): Promise<boolean> {
    const manager = await link.stream.jetstreamManager(false);
    const { state } = await manager.streams.info(link.journal.stream);
    const [first] = outstanding;
    if (!first) return true;
    if (state.last_seq < first.sequence - 1) return false; // a server that is behind
    if (state.last_seq === first.sequence - 1) return true; // it has to be said again
    const purged = state.first_seq > first.sequence; // by whoever has the pool
    const message = purged ? null : await manager.streams.getMessage(link.journal.stream, { seq: first.sequence });
    if (!message && !purged) return false;
    if (message && JournalPart.decode(message.data).owner === owner) taken();
    else end(new HobError("unavailable", "another control serves this pool now", { remedy: "connect again: it is led there" }));
    return true;
  }

  function end(error: HobError): void {
    if (ended) return;
    ended = error;
    for (const { reject } of promised.splice(0)) reject(error);
    parts.lost(error);
  }

  const forget = link.onReconnect(() => void recover()); // what was on its way may never be answered
  const looking = setInterval(() => {
    if (outstanding.length === 0 || ended) return;
    const forMs = performance.now() - firstSinceMs;
    if (forMs > patienceMs && !late) {
      late = waitingFor(link, reason);
      log.warn({ nats: link.name, reason }, "NATS does not take what is recorded: calls wait");
      parts.delayed(late);
    }
    if (forMs > moveMs && performance.now() - movedAtMs > moveMs && link.connected) {
      movedAtMs = performance.now();
      void link.connection.reconnect().catch(() => {}); // it is being made already
    }
  }, lookMs);

  function settled(): Promise<void> | undefined {
    if (durable.commit >= commit) return undefined;
    if (ended) return heard(Promise.reject(ended));
    const last = promised.at(-1);
    if (last?.commit === commit) return last.promise;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promised.push({ commit, promise, resolve, reject });
    return heard(promise);
  }

  return {
    record: (name, fields) => void writes.push(writeOf(name, fields)),
    get next() {
      return commit + 1;
    },
    made() {
      commit++;
      waiting.push({ number: commit, writes });
      writes = [];
      flush();
    },
    dropped() {
      writes = [];
    },
    settled,
    get bytes() {
      return bytes;
    },
    get durable() {
      return durable;
    },
    async [Symbol.asyncDispose]() {
      const done = settled();
      if (done) await Promise.race([done.catch(() => {}), new Promise((resolve) => setTimeout(resolve, lastWordMs).unref())]);
      clearInterval(looking);
      forget();
      ended ??= new HobError("cancelled", "control has ended");
    },
  };
}

/** Whoever waits for it hears of its failure; nobody has to. */
function heard(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

function waitingFor({ connected, name }: NatsLink, reason: string): HobError {
  const why = connected ? "most of its servers do not answer" : "it cannot be reached";
  const more = reason === "" ? "" : ` (${reason})`;
  return new HobError("unavailable", `nothing can be recorded at present, and calls wait: NATS at ${name}: ${why}${more}`, {
    remedy: "they go on when most of its servers run and can be reached",
  });
}
