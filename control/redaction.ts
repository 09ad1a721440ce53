// ⑦ Values of secrets are taken out of what people read: lines of logs, failures, and what is shown of arguments and results.

import { baseOf } from "../proto/app-name.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { Failure, LogLine } from "../proto/gen/hob/v1/common.ts";
import { MapResults } from "../proto/gen/hob/v1/maps.ts";

/** Shorter ones would be found in everything. */
const shortest = 6;

type Clean = (text: string) => string;

export interface Redaction {
  /** Processes of that app have that value from now on. */
  handed(app: string, name: string, value: string): void;
  /** What takes the app's values out of a text; undefined where there are none. */
  of(app: string): Clean | undefined;
  lines(lines: LogLine[], appOf: (line: LogLine) => string): LogLine[];
  failure(app: string, failure: Failure | undefined): Failure | undefined;
  /** The failures among results of a map. */
  results(app: string, bytes: Buffer): Buffer;
  /** For who looks at a call; who made it has the result as it is. */
  call(info: CallInfo): CallInfo;
}

/** The forms in which a value is printed by accident: itself and its lines, in JSON, in base64, in a URL. */
function formsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  const plain = [value, ...(lines.length > 1 ? lines : [])];
  const encoded = plain.flatMap((text) => [
    JSON.stringify(text).slice(1, -1),
    Buffer.from(text).toString("base64").replace(/=+$/, ""),
    encodeURIComponent(text),
  ]);
  return [...plain, ...encoded].filter((text) => text.length >= shortest);
}

/** Longer forms first: one may be part of another. */
export function cleaner(values: ReadonlyMap<string, ReadonlySet<string>>): Clean | undefined {
  const names = new Map<string, string>();
  for (const [name, known] of values) for (const value of known) for (const form of formsOf(value)) names.set(form, name);
  if (names.size === 0) return undefined;
  const forms = [...names.keys()].sort((a, b) => b.length - a.length).map((form) => form.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const pattern = new RegExp(forms.join("|"), "g");
  return (text) => text.replace(pattern, (found) => `[secret ${names.get(found)}]`);
}

interface RedactionParts {
  apps(): string[];
  /** Names of the secrets that the app's current functions ask for. */
  namesOf(app: string): string[];
  /** Undefined where it is not set or cannot be read. */
  valueOf(app: string, name: string): string | undefined;
}

export function createRedaction(parts: RedactionParts): Redaction {
  const values = new Map<string, Map<string, Set<string>>>(); // by app, without its deployment, and name: former values too
  const cleaners = new Map<string, Clean | undefined>();

  function handed(app: string, name: string, value: string): void {
    const base = baseOf(app);
    const names = values.get(base) ?? new Map<string, Set<string>>();
    const known = names.get(name) ?? new Set();
    if (known.has(value)) return;
    values.set(base, names.set(name, known.add(value)));
    cleaners.delete(base);
  }

  /** Containers that an earlier control has given their code have the values as they are now, as far as can be known. */
  function seed(base: string): void {
    values.set(base, values.get(base) ?? new Map());
    for (const app of parts.apps()) {
      if (baseOf(app) !== base) continue;
      for (const name of parts.namesOf(app)) {
        const value = parts.valueOf(app, name);
        if (value !== undefined) handed(app, name, value);
      }
    }
  }

  function of(app: string): Clean | undefined {
    const base = baseOf(app);
    if (cleaners.has(base)) return cleaners.get(base);
    if (!values.has(base)) seed(base);
    const made = cleaner(values.get(base)!);
    cleaners.set(base, made);
    return made;
  }

  function failure(app: string, given: Failure | undefined): Failure | undefined {
    const clean = given && of(app);
    if (!clean) return given;
    const frames = given.frames.map((frame) => ({ ...frame, source: clean(frame.source) }));
    return { ...given, message: clean(given.message), traceback: clean(given.traceback), frames };
  }

  return {
    handed,
    of,
    lines(lines, appOf) {
      for (const line of lines) {
        const clean = of(appOf(line));
        if (clean) line.text = clean(line.text);
      }
      return lines;
    },
    failure,
    results(app, bytes) {
      if (!of(app)) return bytes;
      const { results } = MapResults.decode(bytes);
      if (results.every((result) => !result.failure)) return bytes;
      return Buffer.from(
        MapResults.encode({ results: results.map((result) => ({ ...result, failure: failure(app, result.failure) })) }).finish(),
      );
    },
    call(info) {
      const clean = of(info.app);
      if (!clean) return info;
      const json = (bytes: Buffer): Buffer => (bytes.byteLength > 0 ? Buffer.from(clean(bytes.toString("utf8"))) : bytes);
      const { arguments: given, result } = info;
      return {
        ...info,
        arguments: given && { ...given, positional: json(given.positional), keywords: json(given.keywords) },
        result: result && { ...result, json: json(result.json) },
      };
    },
  };
}
