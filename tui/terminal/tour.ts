// ⑧ Whether the tour was dismissed or done: a file that says so, for ever.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { tourFile } from "../../base/paths.ts";

export const isTourOver = (): boolean => existsSync(tourFile());

export function endTour(): void {
  mkdirSync(dirname(tourFile()), { recursive: true, mode: 0o700 });
  writeFileSync(tourFile(), "the tour was dismissed or done; without this file it begins again\n", { mode: 0o600 });
}
