// What control and an agent make of saves of their own before anybody's comes: each is carried out, and nothing is left of it.

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, test } from "vitest";
import { rehearseAgent } from "../../agent/practice.ts";
import { silentLog } from "../../base/log.ts";
import { openRest } from "../../base/rest.ts";
import { rehearseControl } from "../../control/practice.ts";
import { practisedCommands, type Rehearsal, startPractice } from "../../proto/practice.ts";

const always = {
  once(work: () => void) {
    setImmediate(work);
    return () => {};
  },
};
const never = { once: () => () => {} };

function makeFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "hob-practice-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

test("control takes saves on a pool beside its own, each through to its result, and leaves nothing", async () => {
  using folder = makeFolder();
  using rest = openRest();
  for (let round = 0; round < 2; round++) {
    await using control = await rehearseControl({ socket: join(folder.path, "control.sock"), build: "test" }, rest);
    for (let n = 1; n <= 12; n++) await control.save(n);
    expect(readdirSync(folder.path)).toEqual([".control.sock.p"]);
  }
  expect(readdirSync(folder.path)).toEqual([]);
});

test("what a control that was killed has left of it is in nobody's way", async () => {
  using folder = makeFolder();
  using rest = openRest();
  const place = { socket: join(folder.path, "control.sock"), build: "test" };
  const killed = await rehearseControl(place, rest);
  await killed.save(1);
  await using control = await rehearseControl(place, rest); // as if that one had ended without a word
  await control.save(1);
  await control.save(2);
});

test("an agent takes loads and calls, those of patches apart, each through to its result, and leaves nothing", async () => {
  using folder = makeFolder();
  const path = join(folder.path, "practice");
  const unless = <T>(promise: Promise<T>): Promise<T> => promise;
  for (let round = 0; round < 2; round++) {
    await using agent = await rehearseAgent(path, unless);
    for (let n = 1; n <= 12; n++) await agent.save(n);
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
  expect(practisedCommands(1, "c")).toMatchObject({ load: undefined, dispatch: { load: { tier: "fork" } } });
  expect(practisedCommands(2, "c")).toMatchObject({ load: { tier: "patch", called: true }, dispatch: { load: undefined } });
});

test("a practice is made of several sets, each closed before the next is opened", async () => {
  const said: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line).msg) });
  let open = 0;
  const sets: number[][] = [];
  const rehearse = async (): Promise<Rehearsal> => {
    expect(++open).toBe(1);
    const saves: number[] = [];
    sets.push(saves);
    return { save: async (n) => void saves.push(n), [Symbol.asyncDispose]: async () => void open-- };
  };
  await using _practice = startPractice(rehearse, always, log);
  await expect.poll(() => said).toEqual(["practised"]);
  expect(open).toBe(0);
  expect(sets.length).toBeGreaterThan(1);
  for (const saves of sets) expect(saves).toEqual(saves.map((_, index) => index + 1));
  for (const saves of sets) expect(saves.length).toBeGreaterThanOrEqual(8); // V8's count, bin/hob
});

test("a practice waits until its process rests, and ends at once with it, whatever it waits for", async () => {
  let opened = 0;
  const hanging = async (): Promise<Rehearsal> => {
    opened++;
    return { save: () => new Promise(() => {}), [Symbol.asyncDispose]: async () => {} };
  };
  await startPractice(hanging, never, silentLog)[Symbol.asyncDispose]();
  expect(opened).toBe(0);
  const practice = startPractice(hanging, always, silentLog);
  await expect.poll(() => opened).toBe(1);
  await practice[Symbol.asyncDispose]();
});

test("a practice that fails is a line of the log, and nobody's trouble", async () => {
  const said: { msg: string; error?: string }[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line)) });
  let closed = false;
  const failing = async (): Promise<Rehearsal> => ({
    save: () => Promise.reject(new Error("no such call")),
    [Symbol.asyncDispose]: async () => {
      closed = true;
    },
  });
  await using _practice = startPractice(failing, always, log);
  await expect.poll(() => said).toEqual([expect.objectContaining({ msg: "practising", error: "no such call" })]);
  expect(closed).toBe(true);
});
