// ⑦ What `hob control` is told of its limits, and of how long calls and logs are kept.

import { type Command, InvalidArgumentError } from "commander";
import type { Retention } from "../control/engine/engine.ts";
import { type LimitName, type Limits, limitNames } from "../control/limits.ts";
import { parseDuration } from "./format/duration.ts";
import { suggestion } from "./suggest.ts";
import { wholeNumber } from "./whole-number.ts";

export interface LimitFlags {
  keep?: number;
  keepCalls?: number;
  keepLines?: number;
  limit?: Partial<Limits>;
}

export function addLimitOptions(command: Command): Command {
  return command
    .option("--keep <time>", "how long results and logs are kept: 12h, 30d (default 7d)", keepTime)
    .option("--keep-calls <n>", "at most so many finished calls (default 100000)", wholeNumber)
    .option("--keep-lines <n>", "at most so many lines of logs (default 1000000)", wholeNumber)
    .option("--limit <name=n>", "another limit than the standard one, docs/limits.md; may be given again", oneLimit);
}

export function limitsOf({ keep, keepCalls, keepLines, limit }: LimitFlags): {
  retention: Partial<Retention>;
  limits: Partial<Limits>;
} {
  const retention = {
    ...(keep === undefined ? {} : { keepMs: keep }),
    ...(keepCalls === undefined ? {} : { calls: keepCalls }),
    ...(keepLines === undefined ? {} : { lines: keepLines }),
  };
  return { retention, limits: limit ?? {} };
}

function keepTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError("write for example 12h or 30d");
  return ms;
}

function oneLimit(text: string, before: Partial<Limits> = {}): Partial<Limits> {
  const [name = "", number = ""] = text.split("=");
  if (!limitNames.includes(name as LimitName))
    throw new InvalidArgumentError(`there is no limit "${name}": ${suggestion(name, limitNames)}`);
  if (!/^[1-9]\d{0,11}$/.test(number)) throw new InvalidArgumentError(`write for example ${name}=1000`);
  return { ...before, [name]: Number(number) };
}
