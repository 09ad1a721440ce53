import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Mounts, containers and pseudo-terminals share two cores: files run one after the other.
    fileParallelism: false,
    pool: "forks",
  },
});
