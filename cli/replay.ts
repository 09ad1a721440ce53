// ⑧ `hob replay`: a recorded session on the screen, without a pool.

import { type Command, InvalidArgumentError } from "commander";

export interface ReplayFlags {
  speed: number;
  step?: boolean;
}

export function addReplay(program: Command): void {
  const command = program
    .command("replay")
    .description("show a session that `hob dev --record FILE` has recorded")
    .argument("<file>", "the recorded session");
  addReplayFlags(command).addHelpText("after", "\nExample:\n  hob replay session.jsonl --speed 4\n").action(replay);
}

export function addReplayFlags(command: Command): Command {
  return command
    .option("--speed <factor>", "2 is twice as fast as it was", speedOf, 1)
    .option("--step", "begin paused: . goes on by one event, space goes on, > and < change the speed");
}

function speedOf(text: string): number {
  const speed = Number(text);
  if (speed > 0 && speed <= 64) return speed;
  throw new InvalidArgumentError("write a number above 0, at most 64");
}

export async function replay(file: string, { speed, step = false }: ReplayFlags): Promise<void> {
  const [{ createPlayer, openRecording }, { startScreen }] = await Promise.all([
    import("../tui/recording/player.ts"),
    import("../tui/start.tsx"),
  ]);
  const { header, events } = await openRecording(file);
  const player = createPlayer({ header, events, speed, step, clockMs: () => performance.now() });
  const shell = () => player.workbench.call("", "", [], {}, "key") as never;
  process.exitCode = await startScreen(() => Promise.resolve(player.workbench), {
    pool: header.pool,
    build: header.build,
    shell,
    player,
  });
}
