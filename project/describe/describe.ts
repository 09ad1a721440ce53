// ② Describes a project: what each language's describer says, in one list. One request at a time, in order.

import { posix } from "node:path";
import type { Diagnostic } from "../events.ts";
import type { ProjectChange } from "../watch.ts";
import { type DescribedFunction, functionKey } from "./changes.ts";
import { createPythonDescriber, type LanguageDescriber } from "./python.ts";
import { createTypeScriptDescriber } from "./typescript.ts";

export interface Description {
  /** By functionKey. */
  functions: Map<string, DescribedFunction>;
  diagnostics: Diagnostic[];
}

export interface Describer extends AsyncDisposable {
  /** Takes one change of the project; every change since the start has to be given, in order. */
  describe(change: ProjectChange): Promise<Description>;
  /** A change is about to come: who has slept wakes up while it is read. */
  rouse(): void;
}

export interface DescriberOptions {
  root: string;
  /** Reads the text of a file whose contents the change does not carry. */
  read(path: string): Buffer | undefined;
}

const languages: readonly { extensions: ReadonlySet<string>; create(root: string): LanguageDescriber }[] = [
  { extensions: new Set([".py"]), create: () => createPythonDescriber() },
  {
    extensions: new Set([".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"]),
    create: (root) => createTypeScriptDescriber(root),
  },
];

export function createDescriber({ root, read }: DescriberOptions): Describer {
  const describers = languages.map(({ extensions, create }) => ({ extensions, describer: create(root) }));
  let last: Promise<unknown> = Promise.resolve();

  async function describeNow(change: ProjectChange): Promise<Description> {
    const parts = await Promise.all(
      describers.map(({ extensions, describer }) => {
        const mine = (path: string): boolean => extensions.has(posix.extname(path));
        const changed = change.changed
          .filter(({ entry }) => mine(entry.path))
          .map(({ entry, content }) => ({ path: entry.path, source: (content ?? read(entry.path))?.toString("utf8") ?? "" }));
        const others = [...change.changed.map(({ entry }) => entry.path), ...change.removed].filter((path) => !mine(path));
        return describer.describe({ changed, removed: change.removed.filter(mine), others }, change.snapshot);
      }),
    );
    const functions = new Map<string, DescribedFunction>();
    const diagnostics = parts.flatMap((part) => part.diagnostics);
    for (const described of parts.flatMap((part) => part.functions)) {
      const key = functionKey(described);
      const other = functions.get(key);
      if (!other) functions.set(key, described);
      else {
        const { module: file, line, name, app } = described.spec;
        const message = `app ${app} has two functions named ${name}: the other one is in ${other.spec.module} line ${other.spec.line}`;
        diagnostics.push({ file, line, column: 1, message, sourceLine: "" });
      }
    }
    return { functions, diagnostics };
  }

  return {
    rouse() {
      for (const { describer } of describers) describer.rouse?.();
    },
    describe(change) {
      const described = last.then(() => describeNow(change));
      last = described.catch(() => {}); // its caller hears of it
      return described;
    },
    async [Symbol.asyncDispose]() {
      await last;
      await Promise.all(describers.map(({ describer }) => describer[Symbol.asyncDispose]()));
    },
  };
}
