// Maps of control over a database in memory, with nodes and a client that do as they are told: for the property tests of maps.

import { DatabaseSync } from "node:sqlite";
import { silentLog } from "../../base/log.ts";
import { migrate } from "../../control/engine/migrations.ts";
import { openSqliteMaps } from "../../control/engine/sqlite-maps.ts";
import { withLimits } from "../../control/limits.ts";
import { isTicket, type RunningMap, type Work } from "../../control/maps/map.ts";
import { createMaps, type Maps } from "../../control/maps/maps.ts";
import { openOrdered, openUnordered } from "../../control/maps/results.ts";
import type { Container, Node } from "../../control/nodes.ts";
import type { Registry } from "../../control/registry.ts";
import { createGroups } from "../../control/scheduler/groups.ts";
import type { Turn } from "../../control/turn.ts";
import { type DispatchInputs, InputsFinished } from "../../proto/gen/hob/v1/agents.ts";
import { Version } from "../../proto/gen/hob/v1/common.ts";
import { MapInputs, MapResult, MapResults, OpenMap } from "../../proto/gen/hob/v1/maps.ts";
import { encodeInputs } from "../control/map-client.ts";

interface Attempt {
  dispatch: DispatchInputs;
  node: Node;
  left: number[]; // indices without an answer
}

const mapId = "0123456789abcdef";

export function createWorld(retries: number, fails: (index: number) => boolean, detached = true) {
  const db = new DatabaseSync(":memory:");
  migrate(db, ":memory:");
  const engine = openSqliteMaps(db, () => {});
  const version = Version.fromPartial({
    function: "price",
    digest: "d",
    snapshot: "s",
    spec: {
      app: "shop",
      name: "price",
      language: "python",
      retries,
      backoff: { delayMs: retries * 5, factor: 1, maxDelayMs: 10 },
    },
  });
  const registry = { version: () => version, current: () => [version], apps: () => ["shop"] } as unknown as Registry;
  let nodes = makeNodes();
  let groups = createGroups<Work>();
  let sends: (() => void)[] = [];
  const attempts: Attempt[] = []; // running ones, and those that control has given up
  const said: { node: Node; message: InputsFinished }[] = [];
  let answers = 0;
  let personAtMs = Number.NEGATIVE_INFINITY;
  const turn: Turn = {
    stuck: undefined,
    delayed: undefined,
    delay() {},
    begin() {},
    wake() {},
    toNode: (send) => void sends.push(send),
    toWaiting: (send) => void sends.push(send),
    toClient: (send) => void sends.push(send),
    settle,
    [Symbol.dispose]() {},
  };
  let maps = start();
  let map: RunningMap = maps.open(OpenMap.fromPartial({ id: mapId, app: "shop", function: "price", detached }));
  settle();

  function makeNodes(): Node[] {
    return ["a", "b"].map((name) => {
      const node = { name, containers: new Map<string, Container>(), send() {} } as unknown as Node;
      for (const n of [0, 1]) addContainer(node, `${name}${n}`);
      return node;
    });
  }

  function addContainer(node: Node, id: string): void {
    const container = { id, node: node.name, owner: node, calls: new Map(), info: { calls: [] }, idleSinceMs: 0 };
    node.containers.set(id, container as unknown as Container);
  }

  function start(): Maps {
    const calls = {
      ...{ active: () => undefined, cancel() {}, unfinished: () => [] },
      get personAtMs() {
        return personAtMs;
      },
    };
    const clock = { now: () => performance.now() };
    const parts = { store: engine.store, turn, calls, registry, groups, clock, limits: withLimits(), log: silentLog };
    return createMaps({ ...parts, resolve: ({ app, version }) => ({ app, version }), announce() {} });
  }

  function settle(): void {
    maps.prepare();
    for (const group of groups.all.values()) {
      for (const work of group.lanes.flatMap((lane) => [...lane])) {
        const free = nodes.flatMap((node) => [...node.containers.values()]).find((container) => container.calls.size === 0);
        if (!free || !isTicket(work)) break;
        const cut = maps.cut(work, free);
        if (!cut) continue;
        const left = MapInputs.decode(cut.inputs).inputs.map(({ index }) => index);
        sends.push(() => attempts.push({ dispatch: { ...cut, load: undefined }, node: free.owner, left }));
      }
    }
    if (engine.pending()) engine.write();
    engine.written();
    const now = sends;
    sends = [];
    for (const send of now) send();
  }

  function say(node: Node, message: InputsFinished): void {
    said.push({ node, message });
    maps.finished(node, message);
  }

  return {
    get map() {
      return map;
    },
    maps: () => maps,
    settle,
    /** A person calls all the time, or not at all. */
    person(calls: boolean) {
      personAtMs = calls ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
    },
    /** How many inputs each attempt has. */
    sizes: () => attempts.map(({ dispatch }) => dispatch.count),
    ended: () => !maps.running.has(mapId),
    info: () => maps.find(mapId)!,
    /** Sends inputs from `overlap` before the wanted one on. */
    feed(count: number, overlap: number) {
      const first = Math.max(0, map.intake.wanted - overlap);
      const values = Array.from({ length: map.intake.wanted - first + count }, (_, i) => first + i);
      maps.send(map, { bytes: encodeInputs(values, first), until: 1e9, last: false });
    },
    close: () => maps.send(map, { bytes: new Uint8Array(), until: 1e9, last: true }),
    /** Some inputs of an attempt are answered, the last of them with the word that it is over. */
    answer(which: number, most: number, backward: boolean) {
      const attempt = attempts[which % Math.max(1, attempts.length)];
      if (!attempt) return;
      const { dispatch, node, left } = attempt;
      const indices = backward ? left.splice(-most) : left.splice(0, most);
      const results = indices.map((index) =>
        fails(index)
          ? MapResult.fromPartial({ index, failure: { kind: "exception", message: `no ${index}` } })
          : MapResult.fromPartial({ index, value: { json: Buffer.from(JSON.stringify([index, answers++])) } }),
      );
      const last = left.length === 0;
      if (last) attempts.splice(attempts.indexOf(attempt), 1);
      const { batch, container } = dispatch;
      const bytes = Buffer.from(MapResults.encode({ results }).finish());
      say(node, InputsFinished.fromPartial({ batch, container, results: bytes, count: results.length, runMs: 1, last }));
    },
    repeat(which: number) {
      const former = said[which % Math.max(1, said.length)];
      if (former) maps.finished(former.node, former.message);
    },
    /** A container ends; unless it is silent, its attempt goes on out of control's sight, and answers some time. */
    lose(which: number, silent: boolean) {
      const all = nodes.flatMap((node) => [...node.containers.values()]);
      const container = all[which % all.length]!;
      container.owner.containers.delete(container.id);
      const lost = attempts.findIndex(({ dispatch }) => dispatch.container === container.id);
      if (silent && lost >= 0) attempts.splice(lost, 1);
      maps.containerGone(container, "it was killed");
      addContainer(container.owner, `${container.id}'`);
    },
    /** Control is killed: what is not committed is lost. Nodes that come back say what they still run. */
    restart(linked: boolean) {
      maps[Symbol.dispose]();
      sends = [];
      engine.written();
      groups = createGroups<Work>();
      nodes = makeNodes();
      maps = start();
      const running = maps.running.get(mapId);
      if (running) map = running;
      if (!linked) attempts.splice(0); // nodes were killed too
      for (const node of linked ? nodes : []) {
        const held = attempts.filter(
          (attempt) => attempt.node.name === node.name && node.containers.has(attempt.dispatch.container),
        );
        for (const attempt of held) {
          attempt.node = node;
          node.containers.get(attempt.dispatch.container)!.info.calls.push(attempt.dispatch.batch);
        }
        maps.nodeLinked(
          node,
          held.map(({ dispatch }) => dispatch.batch),
        );
      }
    },
    read(ordered: boolean, position = 0): MapResult[] {
      const cursor = ordered
        ? openOrdered(engine.store, map.info.number, position)
        : openUnordered(engine.store, map.info.number, position);
      const list: MapResult[] = [];
      for (let some = cursor.next(); some; some = cursor.next()) {
        const { results } = MapResults.decode(some.bytes);
        if (results.length !== some.count) throw new Error("a wrong count");
        list.push(...results);
      }
      return list;
    },
    [Symbol.dispose]() {
      maps[Symbol.dispose]();
      db.close();
    },
  };
}
