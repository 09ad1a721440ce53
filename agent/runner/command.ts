// ⑤ What runc starts in a container: the runner of a language, from the folder sdk/ at /hob, with the agent's socket as fd 3.

const commands = {
  python: {
    args: ["/usr/bin/python3", "/hob/python/hob/_runner/__main__.py"],
    // The project and the image cannot be written, so looking for a place for .pyc files is wasted time.
    env: { PYTHONDONTWRITEBYTECODE: "1" },
  },
  typescript: {
    args: ["/usr/local/bin/node", "/hob/typescript/runner/main.ts"],
    // Types are stripped once for a container, not for each of its processes (25 ms of CPU and 17 MB each).
    env: { NODE_COMPILE_CACHE: "/tmp/hob-node-cache" },
  },
} as const;

export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** `image` is the environment that the image itself gives: over the defaults, and below what the runner needs. */
export function runnerCommand(
  language: "python" | "typescript",
  image: Readonly<Record<string, string>> = {},
): { args: string[]; env: Record<string, string> } {
  const { args, env } = commands[language];
  return {
    args: [...args],
    env: {
      PATH: defaultPath,
      HOME: "/tmp", // the root is read-only; libraries keep their caches below HOME
      LANG: "C.UTF-8",
      ...image,
      ...env,
    },
  };
}
