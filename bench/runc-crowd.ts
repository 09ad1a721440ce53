// The rival of a burst: as many plain containers by runc itself, four at a time, which is as fast as it gets on two cores.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type RuncRival, runcRival } from "./runc-rival.ts";

const lanes = 4;

export interface RuncCrowd {
  /** `runc run` of this command, `count` times; milliseconds for all. */
  run(count: number, argv: string[]): Promise<number>;
  /** `runc delete -f` of `count` living containers; milliseconds for all. */
  deleteLiving(count: number): Promise<number>;
}

export function runcCrowd(folder: string, files: string): RuncCrowd {
  const rivals = Array.from({ length: lanes }, (_, lane) => {
    const own = join(folder, String(lane));
    mkdirSync(own, { recursive: true });
    return runcRival(own, files);
  });

  async function inLanes(count: number, step: (rival: RuncRival, index: number) => Promise<unknown>): Promise<number> {
    let next = 0;
    const began = performance.now();
    await Promise.all(
      rivals.map(async (rival) => {
        while (next < count) await step(rival, next++);
      }),
    );
    return performance.now() - began;
  }

  return {
    run: (count, argv) => inLanes(count, (rival) => rival(argv)),
    async deleteLiving(count) {
      const living: { rival: RuncRival; id: string }[] = [];
      await inLanes(count, async (rival) => living.push({ rival, id: await rival.detached(["/usr/bin/sleep", "600"]) }));
      return await inLanes(count, (_, index) => living[index]!.rival.delete(living[index]!.id));
    },
  };
}
