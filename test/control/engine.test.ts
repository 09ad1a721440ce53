// The same cases on every engine: what control relies on holds whichever it runs on.

import { rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openSqliteEngine } from "../../control/engine/sqlite.ts";
import { type EnginePlace, engineCases } from "./engine-cases.ts";
import { makePlace } from "./harness.ts";

function embedded(): EnginePlace {
  const place = makePlace();
  return {
    open: async () => openSqliteEngine(place.state, place.store),
    async [Symbol.asyncDispose]() {
      rmSync(place.folder, { recursive: true, force: true });
    },
  };
}

const engines: { name: string; place(): Promise<EnginePlace> | EnginePlace }[] = [{ name: "embedded", place: embedded }];

describe.each(engines)("$name", ({ place: makeOne }) => {
  test.each(engineCases)("$name", async ({ run }) => {
    await using place = await makeOne();
    await run(place);
  });
});

test("a state has one embedded engine: another is refused, and told who has it", async () => {
  await using place = embedded();
  await using _first = await place.open();
  await expect(place.open()).rejects.toThrow(`a control is running on this state already (pid ${process.pid})`);
});
