// The files of inputs that were kept: `hob replay-input` runs them again.

import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { keptInputsFolder } from "../base/paths.ts";
import type { KeptInput } from "./kept-input.ts";

/** "images.embed-41": of one pool's calls no two are alike. */
const nameOf = ({ app, function: name, number }: KeptInput): string => `${app}.${name}-${number}`.replace(/[^\w.-]/g, "_");

const fileOf = (name: string): string => (name.includes("/") ? name : join(keptInputsFolder(), `${name}.json`));

/** Its owner's alone (0600): inputs may hold anything. Returns the name that `hob replay-input` takes. */
export function keepInput(input: KeptInput): string {
  const name = nameOf(input);
  const file = fileOf(name);
  try {
    mkdirSync(keptInputsFolder(), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.${process.pid}`, `${JSON.stringify({ hob: "input", ...input }, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    throw systemError(`keeping the input as ${file}`, error);
  }
  return name;
}

/** A kept input by its name, or by the path of its file. Throws a HobError of kind `usage` for what is none. */
export function readKeptInput(name: string): KeptInput {
  const file = fileOf(name);
  let read: Partial<KeptInput> & { hob?: string };
  try {
    read = JSON.parse(readFileSync(file, "utf8")) as typeof read;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" && !(error instanceof SyntaxError)) throw systemError(`reading ${file}`, error);
    read = {};
  }
  const { hob, app, function: called, positional, keywords } = read;
  if (hob === "input" && app && called && Array.isArray(positional) && keywords) return read as KeptInput;
  throw new HobError("usage", `there is no kept input ${name}`, {
    remedy:
      "`hob replay-input` lists them; K keeps the input of a run on the screen, `hob replay-input '#42' --keep` that of a call",
  });
}

/** By name, in order. */
export function keptInputs(): { name: string; input: KeptInput }[] {
  let files: string[];
  try {
    files = readdirSync(keptInputsFolder());
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw systemError(`reading ${keptInputsFolder()}`, error);
  }
  const names = files.filter((file) => file.endsWith(".json")).map((file) => basename(file, ".json"));
  return names.sort().map((name) => ({ name, input: readKeptInput(name) }));
}
