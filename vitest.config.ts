import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // A busy machine is not a failure: what a poll waits for comes, later.
    expect: { poll: { timeout: 10_000 } },
    // Mounts, containers and pseudo-terminals share two cores: files run one after the other.
    fileParallelism: false,
    maxConcurrency: 3, // of tests that say they may run beside others: each has a pool of its own and waits most of the time
    // Agents under test leave the machine's own interfaces as they are: what leaves a node is tested in a namespace of the test's own.
    env: { HOB_UPLINK: "none" },
    pool: "forks",
  },
});
