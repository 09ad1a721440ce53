// Whatever dies, in whatever order and while a call runs: the next start works, and after it nothing of ours is left on the machine.

import { describe, expect, test } from "vitest";
import { startDev } from "../drive/dev-process.ts";
import { kill, type Role, roles } from "../drive/mayhem.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { leftovers, makeWorkplace, processesOf } from "../drive/workplace.ts";

const source = (answer: number) =>
  `import time\nimport hob\n\napp = hob.App('death')\n\n@app.function()\ndef answer():\n    return ${answer}\n\n@app.function()\ndef wait():\n    print('waiting')\n    time.sleep(600)\n`;

const everybody = Object.keys(roles) as Role[];
const permutations = (left: Role[]): Role[][] =>
  left.length === 0
    ? [[]]
    : left.flatMap((role) => permutations(left.filter((other) => other !== role)).map((rest) => [role, ...rest]));

/** Each part alone, and all of them in every order. */
const orders: Role[][] = [...everybody.map((role) => [role]), ...permutations(everybody)];

/** Resolves when `look` gives an empty list; fails with what remained. */
async function untilEmpty(what: string, look: () => string[]): Promise<void> {
  const limit = performance.now() + 15_000;
  for (;;) {
    const left = look();
    if (left.length === 0) return;
    if (performance.now() > limit) throw new Error(`${what}:\n${left.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // the kernel announces no "all gone"
  }
}

describe.skipIf(!rootWithContainers())("death", () => {
  test.concurrent.each(orders.map((order) => [order.join(", then "), order] as const))(
    "kill -9 of the %s while a call runs leaves nothing once the next start has run",
    { timeout: 120_000 },
    async (_, order) => {
      using place = makeWorkplace({ "app.py": source(1) });
      const first = startDev(place.project, ["--pin", "wait", "--args", "[]"], place.environment);
      await first.next("a call that runs", (line) => line.event === "log" && line["text"] === "waiting");
      for (const role of everybody) {
        expect(
          processesOf(place).some(({ command }) => roles[role].test(command)),
          `${role} is there to be killed`,
        ).toBe(true);
      }
      for (const role of order) kill(place, role);
      if (!order.includes("screen")) await first[Symbol.asyncDispose]();

      {
        await using next = startDev(place.project, ["--pin", "answer", "--args", "[]"], place.environment);
        await next.next("the next start", (line) => line.event === "ready");
        place.save("app.py", source(2));
        const { line } = await next.next(
          "its result",
          (seen) => seen.event === "call" && seen["function"] === "answer" && seen["value"] === 2,
        );
        expect(line["ok"]).toBe(true);
      }
      await untilEmpty("left behind", () => leftovers(place));
    },
  );

  test("while one part is gone the workbench says so, mends itself and goes on", { timeout: 120_000 }, async () => {
    using place = makeWorkplace({ "app.py": source(1) });
    await using dev = startDev(place.project, ["--pin", "answer", "--args", "[]"], place.environment);
    await dev.next("ready", (line) => line.event === "ready");
    let answer = 1;
    for (const role of ["fuse", "agent", "control"] as const) {
      kill(place, role);
      answer += 1;
      place.save("app.py", source(answer));
      await dev.next(`the result after the death of ${role}`, (line) => line.event === "call" && line["value"] === answer);
    }
  });

  test("kill -9 of the fuse daemon, again and again, is missed by no call", { timeout: 120_000 }, async () => {
    const reading = [
      "import os, time, hob",
      "app = hob.App('death')",
      "@app.function()",
      "def read():",
      "    folder = os.path.dirname(os.__file__)",
      "    paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]",
      "    for turn in range(12):",
      "        for path in paths[turn::12][:80]:",
      "            open(path, 'rb').read()",
      "        print('turn', turn)",
      "        time.sleep(0.1)",
      "    return ANSWER",
      "",
    ].join("\n");
    using place = makeWorkplace({ "app.py": reading.replace("ANSWER", "1") });
    await using dev = startDev(place.project, ["--pin", "read", "--args", "[]"], place.environment);
    const fuse = () => processesOf(place).filter(({ command }) => roles.fuse.test(command));
    for (const answer of [1, 2]) {
      if (answer > 1) place.save("app.py", reading.replace("ANSWER", String(answer)));
      for (const turn of [1, 4, 7]) {
        await dev.next(`turn ${turn}`, (line) => line.event === "log" && line["text"] === `turn ${turn}`);
        const [before] = fuse();
        kill(place, "fuse");
        await untilEmpty("the daemon that was killed", () =>
          fuse()
            .filter(({ pid }) => pid === before?.pid)
            .map(({ command }) => command),
        );
      }
      const { line } = await dev.next("its result", (seen) => seen.event === "call" && seen["function"] === "read");
      expect(line).toMatchObject({ ok: true, value: answer });
    }
  });
});
