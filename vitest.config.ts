import { defineConfig } from "vitest/config";

const common = {
  testTimeout: 120_000,
  hookTimeout: 60_000,
  // A busy machine is not a failure: what a poll waits for comes, later.
  expect: { poll: { timeout: 10_000 } },
  maxConcurrency: 3, // of tests that say they may run beside others: each has a pool of its own and waits most of the time
  // Agents under test leave the machine's own interfaces as they are: what leaves a node is tested in a namespace of the test's own.
  env: { HOB_UPLINK: "none" },
  pool: "forks" as const,
};

/** Folders of tests with nothing between them but processors: no containers, mounts, pseudo-terminals. */
const apart = ["unit", "fuzz", "project", "control", "fetch"];
const files = (folders: string): string[] => [`test/${folders}/**/*.test.{ts,tsx}`];

export default defineConfig({
  test: {
    projects: [
      { test: { ...common, name: "apart", include: apart.flatMap(files), maxWorkers: 2 } },
      // Mounts, containers and pseudo-terminals share two cores: files run one after the other.
      {
        test: {
          ...common,
          name: "machine",
          include: files("*"),
          exclude: apart.flatMap(files),
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
