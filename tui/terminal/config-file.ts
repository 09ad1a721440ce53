// ⑧ The file of settings: read once, and again when it changes.

import { readFileSync, type Stats, unwatchFile, watchFile } from "node:fs";
import { configFile } from "../../base/paths.ts";
import { type Config, defaultConfig, parseConfig } from "../config.ts";

// A look a second: editors replace the file, and its folder may not be there yet.
const lookEveryMs = 1_000;

/** The usual settings where there is no file. Throws a HobError of kind `usage` for one that is at fault. */
export function readConfig(): Config {
  let text: string;
  try {
    text = readFileSync(configFile(), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return defaultConfig;
    throw error;
  }
  return parseConfig(text, configFile());
}

/** Told of each later content; of a fault instead, while it is one. */
export function watchConfig(changed: (config: Config) => void, faulty: (error: unknown) => void): Disposable {
  const look = (now: Stats, before: Stats): void => {
    if (now.mtimeMs === 0 && before.mtimeMs === 0) return; // Node tells once that there is no file
    let config: Config;
    try {
      config = readConfig();
    } catch (error) {
      faulty(error);
      return;
    }
    changed(config);
  };
  const file = configFile();
  watchFile(file, { interval: lookEveryMs, persistent: false }, look);
  return { [Symbol.dispose]: () => unwatchFile(file, look) };
}
