// ⑧ Whether there is a terminal that the screen can be shown on.

/** Text can be placed on it; a reader (INK_SCREEN_READER) needs only lines. */
export function canShowScreen({ stdin, stdout, env }: Pick<NodeJS.Process, "stdin" | "stdout" | "env">): boolean {
  const places = env["TERM"] !== "dumb" || env["INK_SCREEN_READER"] === "true";
  return stdin.isTTY && stdout.isTTY && places;
}
