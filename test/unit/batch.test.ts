// What is said on a stream within one turn of the event loop goes as few messages, and the first of it does not wait for the turn's end.

import { setTimeout as after, setImmediate as iteration } from "node:timers/promises";
import { expect, test } from "vitest";
import { createBatch } from "../../proto/batch.ts";

test("what a callback adds goes at its end in one message; what others of the same iteration add goes in another", async () => {
  const written: string[][] = [];
  const batch = createBatch<string>((items) => written.push(items) > 0);
  let soFar = -1; // when the second callback begins
  await new Promise<void>((done) => {
    setImmediate(() => {
      batch.add("a");
      batch.add("b");
      expect(written).toEqual([]);
    });
    setImmediate(() => {
      soFar = written.length;
      batch.add("c");
    });
    setImmediate(() => {
      batch.add("d");
      setTimeout(done, 20);
    });
  });
  expect(soFar).toBe(1);
  expect(written).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
});

test("each of many iterations is as quick as the first", async () => {
  const written: number[][] = [];
  const batch = createBatch<number>((items) => written.push(items) > 0);
  for (let n = 0; n < 5; n++) {
    await iteration();
    batch.add(n);
    await Promise.resolve();
    await iteration();
    expect(written.at(-1)).toEqual([n]);
  }
});

test("what is patient goes with what is not, or after a few milliseconds, and nothing goes after the end", async () => {
  const written: string[][] = [];
  const batch = createBatch<string>((items) => written.push(items) > 0);
  batch.add("patient", 0, true);
  await iteration();
  expect(written).toEqual([]);
  batch.add("prompt");
  await iteration();
  expect(written).toEqual([["patient", "prompt"]]);
  batch.add("alone", 0, true);
  await after(30);
  expect(written.at(-1)).toEqual(["alone"]);
  batch.add("lost");
  batch.close();
  await after(10);
  expect(written).toHaveLength(2);
});
