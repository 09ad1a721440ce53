// ⑤ Builds on a node that nobody wants any more: they end, say nothing, and take nobody's turn.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type BuildsHost, createBuilds } from "../../agent/build/builds.ts";
import { createImages, type ImagesHost } from "../../agent/images.ts";
import { systemClock } from "../../base/clock.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { encodeManifest } from "../../fusefs/image/encode.ts";
import type { ResolveImage } from "../../proto/gen/hob/v1/agents.ts";
import { ImageRef } from "../../proto/gen/hob/v1/common.ts";

const folder = mkdtempSync(join(tmpdir(), "hob-builds-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const store = openContentFolder(join(folder, "store"), { durable: false });

const orderOf = (image: Partial<ImageRef>): ResolveImage => ({
  ...{ image: ImageRef.fromPartial(image), stepsDone: 0, from: "", credentials: [] },
});
/** Until everything has happened that was only waiting for promises. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a build that is given up while it waits for others does not take the turn of the next one that waits", async () => {
  const digest = await store.put(encodeManifest([]));
  const captures: PromiseWithResolvers<string>[] = [];
  const host = {
    ...{ store, clock: systemClock, content: { ensure: async () => {} }, progress() {}, send() {} },
    captureHost() {
      const capture = Promise.withResolvers<string>();
      captures.push(capture);
      return capture.promise;
    },
  } as unknown as BuildsHost;
  const build = createBuilds(host);
  const wishes = Array.from({ length: 4 }, () => new AbortController());
  const order = orderOf({ source: "host" });
  const builds = wishes.map(({ signal }) => build(order, signal));
  await settled();
  expect(captures).toHaveLength(2);
  wishes[2]?.abort(new HobError("cancelled", "nobody wants it any more"));
  await expect(builds[2]).rejects.toThrow("nobody wants it any more");
  captures[0]?.resolve(digest);
  await expect(builds[0]).resolves.toBe(digest);
  await settled();
  expect(captures).toHaveLength(3);
  for (const capture of captures) capture.resolve(digest);
  await expect(Promise.all([builds[1], builds[3]])).resolves.toEqual([digest, digest]);
});

test("giving an image up ends its build alone, without an answer; who wants it again begins anew", async () => {
  const began: { label: string; signal: AbortSignal }[] = [];
  const said: string[] = [];
  const images = createImages({
    ...{ store, clock: systemClock, signal: new AbortController().signal, nodeName: "node", folder, lazy: {} },
    progress: ({ phase }: { phase: string }) => void said.push(phase),
    builds: () => (order: ResolveImage, signal: AbortSignal) => {
      began.push({ label: order.image?.reference ?? "", signal });
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    },
  } as unknown as ImagesHost);
  const [unwanted, other] = [orderOf({ source: "debian", reference: "one" }), orderOf({ source: "debian", reference: "two" })];
  const first = images.resolve(unwanted);
  const again = images.resolve(unwanted); // shares the build
  const beside = images.resolve(other);
  expect(began.map(({ label }) => label)).toEqual(["one", "two"]);
  expect(images.building()).toBe(true);

  images.giveUpImage(unwanted.image as ImageRef);
  for (const one of [first, again]) await expect(one).rejects.toThrow("image debian one: nobody wants it any more");
  expect(began.map(({ signal }) => signal.aborted)).toEqual([true, false]);
  expect(said).toEqual([]); // control has given it up: nothing has failed

  const anew = images.resolve(unwanted);
  expect(began.map(({ label }) => label)).toEqual(["one", "two", "one"]);
  images.giveUp("control is gone"); // all of them
  for (const one of [anew, beside]) await expect(one).rejects.toThrow("control is gone");
  expect(images.building()).toBe(false);
});
