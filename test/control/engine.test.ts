// The same cases on every engine: what control relies on holds whichever it runs on.

import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import type { Engine } from "../../control/engine/engine.ts";
import { openCopy } from "../../control/engine/nats/copy.ts";
import { type NatsLink, openNatsLink, parseNatsUrl } from "../../control/engine/nats/link.ts";
import { openNatsEngine } from "../../control/engine/nats/nats.ts";
import { createSqliteEngine, openSqliteEngine } from "../../control/engine/sqlite.ts";
import { openDatabase } from "../../control/engine/sqlite-database.ts";
import type { CommitJournal } from "../../control/engine/writes.ts";
import { type NatsServers, startNatsServers } from "../../scripts/nats-servers.ts";
import { programs } from "../drive/requirements.ts";
import { type EnginePlace, engineCases, makeCall } from "./engine-cases.ts";
import { makePlace, type Place } from "./harness.ts";

const withNats = programs("nats-server");
let servers: NatsServers;
let home: Place;

beforeAll(async () => {
  home = makePlace();
  if (withNats) servers = await startNatsServers(home.folder, 1);
});
afterAll(async () => {
  await servers?.[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

function embedded(): EnginePlace {
  const place = makePlace();
  return {
    open: async () => openSqliteEngine(place.state, place.store),
    async [Symbol.asyncDispose]() {
      rmSync(place.folder, { recursive: true, force: true });
    },
  };
}

/** The engine on the copy in that folder. */
async function openAt(url: string, state: string, snapshotBytes = 64 << 20): Promise<Engine> {
  return openOn(await openNatsLink(parseNatsUrl(url), silentLog), state, snapshotBytes);
}

async function openOn(link: NatsLink, state: string, snapshotBytes = 64 << 20): Promise<Engine> {
  const copy = await openCopy(state, link, silentLog);
  const hear = { delayed() {}, lost() {}, signal: new AbortController().signal, snapshotBytes };
  const owner = randomBytes(8).toString("hex");
  const engine = await openNatsEngine({ link, copy, owner, store: join(state, "blobs"), log: silentLog, ...hear });
  return {
    ...engine,
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await copy[Symbol.asyncDispose]();
      await link[Symbol.asyncDispose]();
    },
  };
}

const newPool = (): string => `test-${randomBytes(4).toString("hex")}`;

/** Each opening is another control's: the second of two that take turns, then one that begins with nothing but the journal. */
function nats(): EnginePlace {
  const pool = newPool();
  let openings = 0;
  return {
    open(): Promise<Engine> {
      const place = ["a", "b", `c${openings}`][openings++ % 3]!;
      return openAt(`${servers.url}/${pool}`, join(home.folder, pool, place));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

const engines: { name: string; place(): EnginePlace; here: boolean }[] = [
  { name: "embedded", place: embedded, here: true },
  { name: "NATS", place: nats, here: withNats },
];

for (const { name: engine, place: makeOne, here } of engines) {
  describe.runIf(here)(engine, () => {
    test.each(engineCases)("$name", async ({ run }) => {
      await using place = makeOne();
      await run(place);
    });
  });
}

test.runIf(withNats)(
  "a control that was away for longer than the journal reaches back goes on from a snapshot, as one that is new does",
  async () => {
    const pool = newPool();
    const [url, at] = [`${servers.url}/${pool}`, (name: string) => join(home.folder, pool, name)];
    const write = (engine: Engine, from: number): void => {
      for (let n = from; n < from + 100; n++) engine.records.put("version", `${n}`, Buffer.from(`${n}`), 0);
    };
    {
      await using away = await openAt(url, at("away"));
      write(away, 0);
    }
    await using link = await openNatsLink(parseNatsUrl(url), silentLog);
    const manager = await link.stream.jetstreamManager();
    const journal = async () => (await manager.streams.info(link.journal.stream)).state;
    {
      await using serving = await openAt(url, at("serving"), 1);
      write(serving, 100);
      await serving.commit();
      await expect.poll(async () => (await journal()).first_seq).toBeGreaterThan(3);
      write(serving, 200); // after the snapshot, in the journal alone
    }
    for (const name of ["away", "new"]) {
      await using engine = await openAt(url, at(name));
      expect(engine.records.list("version"), name).toHaveLength(300);
      expect(engine.records.get("version", "299")?.revision).toBe(1);
    }
  },
);

/** A way to NATS on which, once it is held, what is published lies until it is let go: as behind a cable that was cut for a while. */
async function holdableLink(url: string) {
  const link = await openNatsLink(parseNatsUrl(url), silentLog);
  let held: (() => void)[] | undefined;
  const stream = new Proxy(link.stream, {
    get(target, key) {
      if (key !== "publish") return Reflect.get(target, key);
      return async (...args: Parameters<typeof target.publish>) => {
        if (held) await new Promise<void>((resolve) => held!.push(resolve));
        const answer = await target.publish(...args);
        if (!silent) return answer;
        silent = false;
        throw new Error("timeout");
      };
    },
  });
  /** The next message is taken, and nobody hears of it. */
  let silent = false;
  return {
    loseAnswer() {
      silent = true;
    },
    link: Object.create(link, { stream: { value: stream } }) as NatsLink,
    hold() {
      held = [];
    },
    letGo() {
      const waiting = held ?? [];
      held = undefined;
      for (const go of waiting) go();
    },
  };
}

test.runIf(withNats)("a control of which the pool was taken adds nothing to it, whatever it has on its way", async () => {
  const pool = newPool();
  const [url, at] = [`${servers.url}/${pool}`, (name: string) => join(home.folder, pool, name)];
  const cut = await holdableLink(url);
  const former = await openOn(cut.link, at("former"));
  former.records.put("version", "first", Buffer.from("1"), 0);
  await former.commit();
  cut.hold();
  const told: unknown[] = [];
  for (const key of ["second", "third", "fourth"]) {
    former.records.put("version", key, Buffer.from("1"), 0);
    void former.commit()!.then(
      () => told.push(key),
      () => {},
    );
    await after(20);
  }
  {
    await using taker = await openAt(url, at("taker"));
    taker.records.put("version", "taken", Buffer.from("1"), 0);
    cut.letGo();
    await taker.commit();
    await after(100);
    taker.records.put("version", "later", Buffer.from("1"), 0);
    await taker.commit();
  }
  expect(told).toEqual([]);
  await former[Symbol.asyncDispose]();
  for (const name of ["taker", "new", "former"]) {
    await using engine = await openAt(url, at(name));
    expect(
      engine.records
        .list("version")
        .map(({ key }) => key)
        .sort(),
      name,
    ).toEqual(["first", "later", "taken"]);
  }
});

test.runIf(withNats)(
  "a pool that was taken without an answer is served all the same, and what is recorded without one is recorded once",
  async () => {
    const pool = newPool();
    const [url, at] = [`${servers.url}/${pool}`, (name: string) => join(home.folder, pool, name)];
    const way = await holdableLink(url);
    way.loseAnswer();
    {
      await using engine = await openOn(way.link, at("taker"));
      way.loseAnswer();
      engine.calls.save(makeCall(1));
      await engine.commit();
      engine.calls.save(makeCall(2));
      await engine.commit();
    }
    await using engine = await openAt(url, at("new"));
    expect(engine.calls.unfinished().map(({ info }) => info.number)).toEqual([1, 2]);
  },
);

test("results of a map are shown once they are durable, not when they are committed here", () => {
  using place = makePlace();
  let made = 0;
  const durable = { commit: 0 };
  const journal: CommitJournal = {
    ...{ record() {}, dropped() {}, durable },
    get next() {
      return made + 1;
    },
    made: () => void made++,
    settled: () => undefined,
  };
  using engine = createSqliteEngine(openDatabase(place.state), openContentFolder(place.store, { durable: false }), journal);
  for (const text of ["a", "b", "c"]) {
    engine.maps.addResults(1, 0, { count: 1, bytes: Buffer.from(text) });
    void engine.commit();
  }
  const shown = (block?: number): string => {
    let all = "";
    for (let piece = engine.maps.resultsAfter(1, 0, block); piece; piece = engine.maps.resultsAfter(1, piece.position, block))
      all += Buffer.from(piece.bytes).toString();
    return all;
  };
  expect([shown(), shown(0)]).toEqual(["", ""]);
  durable.commit = 2;
  expect([shown(), shown(0)]).toEqual(["ab", "ab"]);
  durable.commit = 3;
  expect(shown()).toBe("abc");
});

test("a state has one embedded engine: another is refused, and told who has it", async () => {
  await using place = embedded();
  await using _first = await place.open();
  await expect(place.open()).rejects.toThrow(`a control is running on this state already (pid ${process.pid})`);
});
