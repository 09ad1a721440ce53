// ⑥ The table of deaths: whatever a function does to itself, its call has a clear outcome, the next one works, and the node goes on.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { ContainerInfo, ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { hostImageRef } from "../../proto/image.ts";
import { type AgentUnderTest, cannotRun, pythonLoad, startAgent, typescriptLoad } from "./agent-process.ts";
import { type Bench, type Death, die } from "./deaths.ts";
import { pythonDeaths } from "./deaths-python.ts";
import { pythonSource } from "./deaths-python-source.ts";
import { typescriptBundle, typescriptDeaths } from "./deaths-typescript.ts";

if (cannotRun) console.warn(`the table of deaths is skipped: ${cannotRun}`);

const MiB = 2 ** 20;
const classOf = (language: string, memoryBytes: number): ResourceClass => ({
  cpu: 0,
  memoryBytes,
  language,
  gpu: "",
  network: "none",
});
const classes = {
  python: classOf("python", 128 * MiB),
  roomy: classOf("python", 1024 * MiB),
  typescript: classOf("typescript", 512 * MiB),
};
type Kind = keyof typeof classes;
const names = [...pythonSource.matchAll(/^def (\w+)/gm)].map(([, name]) => name ?? "");

describe.skipIf(cannotRun)("the table of deaths", () => {
  const store = mkdtempSync(join(tmpdir(), "hob-deaths-store-"));
  let agent: AgentUnderTest;
  const free: Record<Kind, string[]> = { python: [], roomy: [], typescript: [] };
  const taken = new Set<string>();

  /** One that has served before, else a warm one that nobody has had. */
  const benchOf = (language: "python" | "typescript"): Bench => {
    const kindOf = (row: Death): Kind => (row.roomy ? "roomy" : language);
    return {
      get agent() {
        return agent;
      },
      async take(row) {
        const kind = kindOf(row);
        const used = row.fresh ? undefined : free[kind].pop();
        const { language: wanted, memoryBytes } = classes[kind];
        const fits = ({ id, state, resourceClass }: ContainerInfo) =>
          used
            ? id === used
            : state === "warm" &&
              !taken.has(id) &&
              resourceClass?.language === wanted &&
              resourceClass.memoryBytes === memoryBytes;
        for (;;) {
          const container = (await agent.containersFit((present) => present.some(fits))).find(fits);
          if (!container) continue; // another row was faster
          taken.add(container.id);
          return { container, loaded: used !== undefined };
        }
      },
      give: (container, row) => void free[kindOf(row)].push(container),
      load: (container) =>
        language === "python" ? pythonLoad(container, pythonSource, names) : typescriptLoad(container, typescriptBundle, "die"),
      order: ([name, ...args]) => (language === "python" ? { name, args } : { name: "die", args: [name, ...args] }),
    };
  };

  beforeAll(async () => {
    agent = await startAgent(store);
    await agent.heard("hello");
    agent.send({ $case: "resolve", value: { image: hostImageRef, stepsDone: 0, from: "", credentials: [] } });
    const { image } = await agent.heard("image");
    const pools = Object.values(classes).map((resourceClass) => ({
      image: image?.digest ?? "",
      resourceClass,
      warm: 1,
      reserve: 0,
      wanted: 0,
    }));
    agent.send({ $case: "pools", value: { pools } });
  }, 60_000);
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    rmSync(store, { recursive: true, force: true });
  });

  describe.concurrent("in Python", () => {
    it.each(pythonDeaths)("$name", (row) => die(benchOf("python"), row));
  });
  describe.concurrent("in TypeScript", () => {
    it.each(typescriptDeaths)("$name", (row) => die(benchOf("typescript"), row));
  });
});
