// ⑧ The person's settings: what the file may say, what it says where it says nothing, and why a file is refused. Pure.

import { HobError } from "../base/errors.ts";
import { plainJson } from "../base/jsonc.ts";
import { type KeyBinding, keysWith, settingName } from "./keys.ts";

const accents = ["cyan", "blue", "magenta", "green", "yellow"] as const;
const colourModes = ["auto", "always", "never"] as const;
const glyphModes = ["auto", "ascii"] as const;

export interface Config {
  /** The control that commands speak to without --control; "" is this installation's own. */
  readonly pool: string;
  readonly colours: (typeof colourModes)[number];
  readonly glyphs: (typeof glyphModes)[number];
  readonly accent: (typeof accents)[number];
  /** How long the screen may lag behind, in milliseconds. */
  readonly rates: { readonly outputMs: number; readonly chartsMs: number };
  /** A run that took so long is notified of when the terminal has not the focus, in milliseconds. */
  readonly notifyAfterMs: number;
  /** Keys of actions that are not the usual ones. */
  readonly keys: Readonly<Record<string, readonly string[]>>;
}

export const defaultConfig: Config = {
  pool: "",
  colours: "auto",
  glyphs: "auto",
  accent: "cyan",
  rates: { outputMs: 100, chartsMs: 250 },
  notifyAfterMs: 10_000,
  keys: {},
};

/** What is wrong, as the end of a sentence; undefined when nothing is. */
type Check = (value: unknown) => string | undefined;

const oneOf =
  (values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string) ? undefined : `must be one of ${values.map((each) => `"${each}"`).join(", ")}`;

const between =
  (least: number, most: number): Check =>
  (value) =>
    typeof value === "number" && value >= least && value <= most ? undefined : `must be a number from ${least} to ${most}`;

const isText: Check = (value) => (typeof value === "string" ? undefined : "must be a text");
const isKeys: Check = (value) =>
  [value].flat().every((key) => typeof key === "string" && key !== "") ? undefined : 'must be a key like "r" or a list of keys';

type Fields = { readonly [name: string]: Check | Fields };

function fieldsOf(table: readonly KeyBinding[]): Fields {
  return {
    $schema: isText,
    pool: isText,
    colours: oneOf(colourModes),
    glyphs: oneOf(glyphModes),
    accent: oneOf(accents),
    rates: { outputMs: between(16, 5_000), chartsMs: between(50, 10_000) },
    notifyAfterMs: between(0, 86_400_000),
    keys: Object.fromEntries(table.map((binding) => [settingName(binding), isKeys])),
  };
}

function faultIn(value: unknown, fields: Fields, path: string): { path: string; problem: string } | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { path, problem: "must be an object { … }" };
  for (const [name, given] of Object.entries(value)) {
    const field = fields[name];
    const here = path === "" ? name : `${path}.${name}`;
    if (field === undefined) {
      const known = Object.keys(fields).filter((each) => each !== "$schema");
      return { path: here, problem: `is not a setting; there are ${known.join(", ")}` };
    }
    const problem = typeof field === "function" ? field(given) : undefined;
    const fault =
      typeof field === "function" ? (problem === undefined ? undefined : { path: here, problem }) : faultIn(given, field, here);
    if (fault) return fault;
  }
  return undefined;
}

/** "12:5" of an index. */
function placeOf(text: string, index: number): string {
  const before = text.slice(0, index).split("\n");
  return `${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Throws a HobError of kind `usage` that names the file, the setting and what it must be; two actions on one key are refused with both names. */
export function parseConfig(text: string, file: string): Config {
  const refuse = (where: string, problem: string): never => {
    throw new HobError("usage", `${file}${where}: ${problem}`, { remedy: "mend it, or delete it for the usual settings" });
  };
  let given: unknown;
  try {
    given = JSON.parse(plainJson(text));
  } catch (error) {
    const message = (error as SyntaxError).message;
    const [, index] = /position (\d+)/.exec(message) ?? [];
    const plain = message.replace(/ \(line \d+ column \d+\)/, "").replace(/ in JSON at position \d+/, "");
    return refuse(index === undefined ? "" : `:${placeOf(text, Number(index))}`, plain);
  }
  const fault = faultIn(given, fieldsOf(keysWith({})), "");
  if (fault) {
    const at = text.indexOf(`"${fault.path.split(".").at(-1)}"`);
    return refuse(at < 0 ? "" : `:${placeOf(text, at)}`, `${fault.path === "" ? "the file" : fault.path} ${fault.problem}`);
  }
  const {
    rates,
    keys = {},
    $schema: _,
    ...plain
  } = given as Partial<Config> & { $schema?: string; keys?: Record<string, string | string[]> };
  const named = Object.fromEntries(Object.entries(keys).map(([name, list]) => [name, [list].flat()]));
  try {
    keysWith(named);
  } catch (error) {
    return refuse("", (error as Error).message);
  }
  return { ...defaultConfig, ...plain, rates: { ...defaultConfig.rates, ...rates }, keys: named };
}

/** The published JSON schema, for editors: docs/config.schema.json is this. */
export function configSchema(): object {
  const key = { type: "string", minLength: 1 };
  const actions = keysWith({}).map((binding) => [
    settingName(binding),
    { description: `${binding.description} (usually ${binding.keys.join(", ")})`, anyOf: [key, { type: "array", items: key }] },
  ]);
  const properties = {
    $schema: { type: "string" },
    pool: {
      type: "string",
      description:
        "The control that commands speak to where neither --control nor HOB_CONTROL names one: unix:PATH or hob://HOST:PORT; empty: this installation's own",
    },
    colours: { enum: colourModes, description: "auto follows NO_COLOR, FORCE_COLOR and TERM" },
    glyphs: { enum: glyphModes, description: "ascii draws with plain characters only" },
    accent: { enum: accents, description: "the terminal's own colour of that name" },
    rates: {
      type: "object",
      additionalProperties: false,
      description: "How long the screen may lag behind; what a person did or waits for is shown at once",
      properties: {
        outputMs: { type: "number", minimum: 16, maximum: 5_000, default: defaultConfig.rates.outputMs },
        chartsMs: { type: "number", minimum: 50, maximum: 10_000, default: defaultConfig.rates.chartsMs },
      },
    },
    notifyAfterMs: {
      type: "number",
      minimum: 0,
      maximum: 86_400_000,
      default: defaultConfig.notifyAfterMs,
      description: "A run that took so long is notified of (OSC 9 or 777) when it ends while the terminal has not the focus",
    },
    keys: {
      type: "object",
      additionalProperties: false,
      description: "Keys of actions",
      properties: Object.fromEntries(actions),
    },
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "hob's settings",
    type: "object",
    additionalProperties: false,
    properties,
  };
}
