// Arguments and results that are too large for a message: in the store, each its own call's, until that is forgotten.

import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { openSqliteEngine } from "../../control/engine/sqlite.ts";
import { findGarbage } from "../../control/images/collect.ts";
import { createValues } from "../../control/values.ts";
import { putBlobs } from "../../project/content.ts";
import { fetchValue } from "../../project/large-values.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { type LargeValue, Value } from "../../proto/gen/hob/v1/common.ts";
import { ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { headOf } from "../../proto/large-value.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { makePlace, makePublish, newId, openSession, publishAndLoad, startCall, startControl } from "./harness.ts";

function largeOf(call: string, json: string): { blob: Buffer; large: LargeValue } {
  const blob = Buffer.concat([headOf(call), Buffer.from(json)]);
  return { blob, large: { blob: sha256(blob), bytes: Buffer.byteLength(json), positional: Buffer.byteLength(json) } };
}

test("a call's large arguments and result are in the store and nowhere else, and only what is that call's is taken for them", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  const content = new ContentClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), channelOptions);
  const put = (blob: Buffer) => putBlobs(content, [sha256(blob)], () => [blob]);
  const given: unknown[] = [];
  const lateSent = Promise.withResolvers<void>();
  using agent = linkAgent(place.socket, {
    async dispatch(self, dispatch) {
      given.push(dispatch.arguments);
      const result = largeOf(dispatch.call, JSON.stringify("r".repeat(3 << 20)));
      await put(result.blob);
      const { call, container, attempt } = dispatch;
      const value = Value.fromPartial({ large: result.large });
      const zeros = { loadMs: 0, runMs: 1, droppedBytes: 0, peakMemoryBytes: 0 };
      self.send({ $case: "finished", value: { ...zeros, call, container, attempt, result: value, failure: undefined } });
      // Once more and other: the first stays, and this one goes.
      const late = largeOf(call, JSON.stringify("l".repeat(2 << 20)));
      await put(late.blob);
      const other = Value.fromPartial({ large: late.large });
      self.send({ $case: "finished", value: { ...zeros, call, container, attempt, result: other, failure: undefined } });
      lateSent.resolve();
    },
  });
  await publishAndLoad(session, makePublish("v1", [{ name: "big" }]));
  const id = newId();
  const argument = largeOf(id, JSON.stringify(["a".repeat(2 << 20)]));
  const start = (call: string, large: LargeValue) => {
    const args = { positional: Buffer.alloc(0), keywords: Buffer.alloc(0), large };
    session.send({ $case: "call", value: startCall(call, "big", [], { arguments: args }) });
    return session.outcome(call);
  };
  await put(argument.blob);
  const call = await start(id, argument.large);
  expect(given).toEqual([{ positional: Buffer.alloc(0), keywords: Buffer.alloc(0), large: argument.large }]);
  expect(call.result!.json).toHaveLength(0);
  expect((await fetchValue(content, call.result!)).toString()).toBe(JSON.stringify("r".repeat(3 << 20)));
  expect((await start(newId(), argument.large)).failure!.message).toMatch(/^big: what it is given is not in control's store/);
  expect((await start(newId(), { ...argument.large, bytes: 65 << 20 })).failure!.message).toBe(
    "big: what it is given is 65.0 MiB as JSON, and the limit value-bytes is 64 MiB: pass less at a time",
  );
  const late = largeOf(id, JSON.stringify("l".repeat(2 << 20)));
  const store = openContentFolder(place.store, { durable: false });
  await lateSent.promise;
  await expect.poll(() => existsSync(store.path(late.large.blob))).toBe(false);
  expect([argument.large.blob, call.result!.large!.blob].map(store.has)).toEqual([true, true]);
  expect(agent.containers.size).toBeGreaterThan(0);
  content.close();
});

test("with a call its large values leave the store; those of no call leave it with what images have left; nothing else does", async () => {
  using place = makePlace();
  using engine = openSqliteEngine(place.state, place.store);
  const blobs = engine.blobs;
  const values = createValues(blobs, silentLog);
  const ids = [newId(), newId(), newId()];
  const kept: string[] = [];
  for (const [index, id] of ids.entries()) {
    const { blob, large } = largeOf(id, `"${"v".repeat(2 << 20)}"`);
    kept.push(await blobs.put(blob));
    const info = {
      id,
      number: index + 1,
      app: "shop",
      function: "big",
      state: "succeeded",
      finishedAtMs: index === 0 ? 1 : 5_000,
    };
    engine.calls.save({ info: CallInfo.fromPartial({ ...info, result: { large } }), retries: 0, losses: 0 });
  }
  engine.commit();
  expect(engine.calls.values()).toEqual(kept);
  engine.trim({ keepMs: 1_000, calls: 100, lines: 100, maps: 100 }, 4_000);
  const forgotten = engine.calls.forgotten();
  expect([forgotten, engine.calls.forgotten(), engine.calls.values()]).toEqual([[kept[0]], [], kept.slice(1)]);
  const file = await blobs.put(Buffer.from("a file of a project"));
  values.dropAll([...forgotten, file]);
  await expect.poll(() => blobs.has(kept[0]!)).toBe(false);
  const lost = await blobs.put(largeOf(newId(), '"nobody called"').blob);
  const roots = { images: new Set<string>(), removed: new Set<string>(), blobs: new Set(engine.calls.values()) };
  const hour = 3_600_000;
  expect((await findGarbage(blobs, roots, Date.now())).blobs).toEqual([]); // its call may be on its way
  expect((await findGarbage(blobs, roots, Date.now() + hour)).blobs).toEqual([lost]);
  expect([file, ...kept.slice(1)].map(blobs.has)).toEqual([true, true, true]);
});
