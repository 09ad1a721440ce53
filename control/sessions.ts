// ④⑦ The sessions of workbenches and commands: what they ask goes straight on, and each hears what it wants to, at its own pace.

import type { Clock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import { grouped } from "../base/grouped.ts";
import type { Log } from "../base/log.ts";
import { createBatch } from "../proto/batch.ts";
import type { Served } from "../proto/direct.ts";
import type {
  CallInfo,
  ClientMessage,
  Notice,
  Open,
  Progress,
  SessionEvent,
  SessionEvents,
  Watch,
} from "../proto/gen/hob/v1/calls.ts";
import { CallInfo as CallInfoMessage } from "../proto/gen/hob/v1/calls.ts";
import type { LogLine } from "../proto/gen/hob/v1/common.ts";
import type { ImageBuild } from "../proto/gen/hob/v1/images.ts";
import type { MapInfo } from "../proto/gen/hob/v1/maps.ts";
import { imageKey } from "../proto/image.ts";
import { toServiceError } from "../proto/status.ts";
import { valueBytes, withinBytes } from "./call.ts";
import type { Calls } from "./calls.ts";
import type { Clients } from "./clients.ts";
import type { CallStore, LogStore } from "./engine/engine.ts";
import type { Fleet } from "./fleet.ts";
import { beyond, type Limits } from "./limits.ts";
import type { Maps } from "./maps/maps.ts";
import { clientLimits, createOutbox, type Outbox } from "./outbox.ts";
import type { Publisher, Publishes } from "./publishes.ts";
import type { Registry } from "./registry.ts";
import type { Turn } from "./turn.ts";

const recentCalls = 50; // calls.proto, AppState
const recentValueBytes = 2 << 20; // arguments and results in one Watching; older calls come without
const resumedLines = 5_000;
const finishedKept = 1_000; // own calls whose late log lines are still passed on

type Stream = Served<SessionEvents>;
type Event = NonNullable<SessionEvent["event"]>;

/** Those who listen, without who they are. */
export interface Sessions {
  serve(stream: Stream): void;
  call(info: CallInfo): void;
  /** How far a map is, to those who watch its app. */
  map(info: MapInfo): void;
  logs(lines: LogLine[]): void;
  /** Kept and told to sessions that open later, until a later phase of the same work says that it is done. */
  progress(progress: Progress): void;
  forgetProgress(node: string): void;
  /** Told to those who watch one of its apps, or have published it. */
  image(build: ImageBuild): void;
  notice(level: "info" | "warning" | "error", text: string): void;
  /** An error notice that sessions which open later hear too, until it is taken back with "". */
  trouble(text: string): void;
  /** Nobody is served any more; those who listen are told why. */
  close(reason: HobError): void;
}

interface SessionsParts {
  calls: Calls;
  callStore: CallStore;
  logStore: LogStore;
  registry: Registry;
  publishes: Publishes;
  maps: Pick<Maps, "ofApp" | "cancel">;
  fleet: Fleet;
  /** A call as those see it who look at it. */
  shown(info: CallInfo): CallInfo;
  clients: Clients;
  turn: Turn;
  clock: Clock;
  limits: Limits;
  log: Log;
  build: string;
  /** Builds of the app's images that run or have failed. */
  buildsOf(app: string): ImageBuild[];
  /** Answers whether this control ends itself because of a client of another build. */
  rouse(apps: string[]): void;
  /** Where endpoints are found; "" for nowhere. */
  http(): string;
  yieldTo(build: string): boolean;
}

/** Of what may be large. */
function bytesOf({ event }: SessionEvent): number {
  if (event?.$case === "call") return valueBytes(event.value.call);
  if (event?.$case === "image") return event.value.lines.reduce((sum, { text }) => sum + text.length, 0);
  return event?.$case === "logs" ? event.value.lines.reduce((sum, { text }) => sum + text.length, 0) : 0;
}

/** The limits are the outbox's. */
function unread(): HobError {
  const { events, bytes } = clientLimits;
  const limit = `${grouped(events)} messages or ${bytes >> 20} MiB`;
  const message = `this session was ended: it left more unread than the limit unread-events of ${limit}`;
  return new HobError("exhausted", message, { remedy: "read what it asks for, or watch fewer apps" });
}

/** Steps on the way to a result that is milliseconds away: each alone would have the client work while its processor is wanted for the result. */
function isPatient({ called }: Pick<Session, "called">, { event }: SessionEvent): boolean {
  if (event?.$case === "published") return !event.value.failure && event.value.missing.length === 0;
  if (event?.$case === "reloaded") return !event.value.failure && called.has(event.value.publish);
  return event?.$case === "call" && event.value.call?.origin === "save" && event.value.call.finishedAtMs === 0;
}

interface Session {
  readonly outbox: Outbox<SessionEvent>;
  readonly publisher: Publisher;
  own: Set<string>;
  /** It shows results to a person, its own too. */
  readonly isScreen: boolean;
  /** Publishes that came with a call, not yet reloaded. */
  readonly called: Set<number>;
  finished: string[];
  apps: Set<string>;
  /** Keys of images that it has published. */
  images: Set<string>;
  logsAfter: number;
  stopFleet: (() => void) | undefined;
  fail(error: unknown): void;
}

export function createSessions(parts: SessionsParts): Sessions {
  const { calls, callStore, logStore, registry, publishes, maps, fleet, clients, turn, clock, log, build } = parts;
  const sessions = new Set<Session>();
  const current = new Map<string, Progress>();
  let trouble = "";
  let closed: HobError | undefined;

  const tell = (session: Session, event: Event): void => session.outbox.send({ event });

  function checkBuild(theirs: string): void {
    if (theirs === "" || theirs === build) return;
    const ends = parts.yieldTo(theirs);
    throw new HobError("unavailable", `control runs hob ${build}, not ${theirs}${ends ? ", and is ending for it" : ""}`, {
      remedy: ends ? "connect again in a moment" : "close the other hob that uses it, or use the same build",
    });
  }

  function open(stream: Stream, message: Open): Session {
    if (closed) throw closed;
    if (sessions.size >= parts.limits.sessions) throw beyond(parts.limits, "sessions", "this session was not opened");
    checkBuild(message.build);
    const batch = createBatch<SessionEvent>((events) => stream.write({ events }));
    const outbox = createOutbox<SessionEvent>({
      write: (event) => batch.add(event, bytesOf(event), isPatient(session, event)),
      pack: (lines) => ({ event: { $case: "logs", value: { lines } } }),
      weigh: bytesOf,
      overflow() {
        log.warn({ client: message.client }, "a session was ended: its client does not read");
        sessions.delete(session);
        session.fail(unread());
      },
    });
    const session: Session = {
      outbox,
      publisher: {
        published: (value) => tell(session, { $case: "published", value }),
        reloaded(value) {
          tell(session, { $case: "reloaded", value });
          session.called.delete(value.publish);
        },
      },
      own: new Set(message.calls),
      isScreen: message.client === "dev",
      called: new Set(),
      finished: [],
      apps: new Set(),
      images: new Set(),
      logsAfter: message.logsAfter,
      stopFleet: undefined,
      fail(error) {
        batch.flush();
        stream.emit("error", toServiceError(error));
      },
    };
    stream.on("drain", () => {
      batch.drained();
      outbox.drained();
    });
    const close = batch.close;
    for (const end of ["cancelled", "finish", "close"]) stream.once(end, close);
    tell(session, {
      $case: "opened",
      value: { control: `hob control, pid ${process.pid}`, build, nowMs: clock.now(), http: parts.http() },
    });
    for (const progress of current.values()) tell(session, { $case: "progress", value: progress });
    const stuck = turn.stuck ?? turn.delayed;
    if (stuck) tell(session, { $case: "notice", value: { level: "error", text: stuck.sentence, timeMs: clock.now() } });
    if (trouble) tell(session, { $case: "notice", value: { level: "error", text: trouble, timeMs: clock.now() } });
    for (const id of message.calls) tellOutcome(session, id);
    sessions.add(session);
    return session;
  }

  /** A call that the client believes in, after a time without a connection. */
  function tellOutcome(session: Session, id: string): void {
    const failure = {
      kind: "infrastructure",
      message: "control does not know this call: it was lost on its way, start it again",
    };
    const lost = { id, state: "failed", finishedAtMs: clock.now(), failure };
    const call = calls.find(id) ?? CallInfoMessage.fromPartial(lost);
    tell(session, { $case: "call", value: { call: session.isScreen ? parts.shown({ ...call }) : { ...call } } });
  }

  function watch(session: Session, { apps, fleet: wantsFleet }: Watch): void {
    const added = apps.filter((app) => !session.apps.has(app));
    session.apps = new Set(apps);
    tell(session, { $case: "watching", value: { apps: apps.map(stateOf) } });
    for (const build of added.flatMap((app) => parts.buildsOf(app))) tell(session, { $case: "image", value: build });
    if (session.logsAfter > 0 && added.length > 0) {
      const query = { apps: added, function: "", call: "", sinceMs: 0 };
      const from = Math.max(session.logsAfter + 1, logStore.tail(query, resumedLines) ?? 0);
      session.outbox.lines(logStore.page(query, from, resumedLines));
    }
    session.stopFleet?.();
    session.stopFleet = undefined;
    if (!wantsFleet) return;
    const show = (value: ReturnType<Fleet["sample"]>) => session.outbox.sample({ event: { $case: "fleet", value } });
    show(fleet.sample());
    session.stopFleet = fleet.watch(show);
  }

  function stateOf(app: string) {
    const query = { app, function: "", state: "", sinceMs: 0, parent: "", limit: recentCalls };
    const recent = withinBytes(callStore.list(query), recentValueBytes).map(parts.shown);
    return { app, versions: registry.current(app), recent, maps: maps.ofApp(app) };
  }

  function handle(session: Session, message: ClientMessage["message"]): void {
    switch (message?.$case) {
      case "open":
        throw new HobError("usage", "a session is opened once");
      case "publish":
        for (const call of message.value.calls) session.own.add(call.id);
        if (message.value.calls.length > 0) session.called.add(message.value.id);
        for (const { spec } of message.value.versions) if (spec?.image) session.images.add(imageKey(spec.image));
        publishes.take(message.value, session.publisher);
        break;
      case "call":
        session.own.add(message.value.id);
        calls.start(message.value);
        break;
      case "cancel":
        if (!maps.cancel(message.value.call)) calls.cancel(message.value.call);
        break;
      case "watch":
        watch(session, message.value);
        break;
      case "rouse":
        parts.rouse(message.value.apps);
        break;
      case undefined:
        throw new HobError("usage", "control does not know this message: the client is of another version");
    }
  }

  function serve(stream: Stream): void {
    let session: Session | undefined;
    let leave = clients.enter();
    const close = () => {
      leave();
      if (!session) return;
      sessions.delete(session);
      session.stopFleet?.();
      publishes.forget(session.publisher);
    };
    stream.on("data", ({ message }: ClientMessage) => {
      try {
        if (session) {
          handle(session, message);
          return;
        }
        if (message?.$case !== "open") throw new HobError("usage", "the first message of a session is Open");
        leave(); // while its build is judged, it is not one of the others
        session = open(stream, message.value);
        leave = clients.enter();
      } catch (error) {
        if (!(error instanceof HobError)) log.error(error, "a session's message failed");
        if (session) session.fail(error);
        else stream.emit("error", toServiceError(error));
      }
    });
    stream.once("end", () => stream.end());
    stream.once("cancelled", close);
    stream.once("finish", close);
  }

  function call(info: CallInfo): void {
    const done = info.finishedAtMs > 0;
    for (const session of sessions) {
      // Whoever makes a call hears of those that it makes, and of their output.
      const mine = session.own.has(info.id) || (session.own.has(info.parent) && session.own.add(info.id) !== undefined);
      if (!mine && !session.apps.has(info.app)) continue;
      tell(session, { $case: "call", value: { call: mine && !session.isScreen ? info : parts.shown(info) } });
      if (!mine || !done) continue;
      session.finished.push(info.id);
      if (session.finished.length > finishedKept) session.own.delete(session.finished.shift()!);
    }
  }

  function logs(lines: LogLine[]): void {
    for (const session of sessions) {
      const wanted = lines.filter((line) => session.apps.has(line.app) || session.own.has(line.call));
      if (wanted.length > 0) session.outbox.lines(wanted);
    }
  }

  function all(event: Event): void {
    for (const session of sessions) tell(session, event);
  }

  function notice(level: "info" | "warning" | "error", text: string): void {
    const value: Notice = { level, text, timeMs: clock.now() };
    all({ $case: "notice", value });
  }

  return {
    serve,
    call,
    logs,
    progress(progress) {
      const key = `${progress.node}\n${progress.what}`;
      if (progress.phase === "ready") current.delete(key);
      else current.set(key, progress);
      all({ $case: "progress", value: progress });
    },
    map(value) {
      for (const session of sessions) if (session.apps.has(value.app)) session.outbox.sample({ event: { $case: "map", value } });
    },
    image(build) {
      for (const session of sessions) {
        const wanted = session.images.has(build.key) || build.apps.some((app) => session.apps.has(app));
        if (wanted) tell(session, { $case: "image", value: build });
      }
    },
    forgetProgress(node) {
      for (const [key, progress] of current) if (progress.node === node) current.delete(key);
    },
    notice,
    trouble(text) {
      trouble = text;
      if (text) notice("error", text);
    },
    close(reason) {
      closed = reason;
      for (const session of sessions) session.fail(reason);
    },
  };
}
