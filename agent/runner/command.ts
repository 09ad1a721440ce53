// ⑤ What runc starts in a container: the runner of a language, from the folder sdk/ at /hob, with the agent's socket as fd 3.

const commands = {
  python: ["/usr/bin/python3", "/hob/python/hob/_runner/__main__.py"],
  typescript: ["/usr/local/bin/node", "/hob/typescript/runner/main.ts"],
} as const;

export function runnerCommand(language: "python" | "typescript"): { args: string[]; env: Record<string, string> } {
  return {
    args: [...commands[language]],
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/tmp", // the root is read-only; libraries keep their caches below HOME
      LANG: "C.UTF-8",
      // The project and the image cannot be written, so looking for a place for .pyc files is wasted time.
      PYTHONDONTWRITEBYTECODE: "1",
    },
  };
}
