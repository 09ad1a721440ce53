// Maps as clients and agents see them: results once each, in either order, whatever dies on the way; memory bounded, and others served.

import { expect, test } from "vitest";
import { linkAgent, makePlace, makePublish, openSession, publishAndLoad, startControl } from "./harness.ts";
import { openMap, valuesOf } from "./map-client.ts";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test("a map gives each input's result once, in order or as they come, and says how far it is", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket);
  await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
  using ordered = openMap(place.socket, { ordered: true });
  using loose = openMap(place.socket);
  await Promise.all([ordered.feed(upTo(5_000)), loose.feed(upTo(5_000))]);
  const infos = await Promise.all([ordered.finished(), loose.finished()]);
  for (const info of infos) expect(info).toMatchObject({ state: "succeeded", inputs: 5_000, succeeded: 5_000, failed: 0 });
  expect(ordered.results.map(({ index }) => index)).toEqual(upTo(5_000));
  expect(valuesOf(loose.results)).toEqual(upTo(5_000));
  const batches = agent.commands.all.flatMap((command) => (command.$case === "inputs" ? [command.value.count] : []));
  expect(batches[0]).toBe(1);
  expect(Math.max(...batches)).toBeGreaterThan(100);
});
