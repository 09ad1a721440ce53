// ⑧ `hob stubs`: the types of an app's functions, for programs that call them by name.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { HobError, systemError } from "../base/errors.ts";
import { baseOf } from "../proto/app-name.ts";
import { runningControl } from "./control-address.ts";
import { unknownName } from "./names.ts";
import { printJson, printLine } from "./output.ts";
import type { StubbedApp } from "./stubs/write.ts";

interface StubsFlags {
  out: string;
  language?: string;
  control?: string;
  json?: boolean;
}

export function addStubs(program: Command): void {
  program
    .command("stubs")
    .description("the types of an app's functions as files: .pyi with its module, and .d.ts")
    .argument("<app>", "the app")
    .option("--out <folder>", "where to", ".")
    .option("--language <language>", "only python or typescript")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--json", "one JSON object a file")
    .addHelpText("after", "\nExamples:\n  hob stubs images --out clients\n  hob stubs images --language typescript\n")
    .action(write);
}

async function write(app: string, flags: StubsFlags): Promise<void> {
  const { language } = flags;
  if (language !== undefined && language !== "python" && language !== "typescript") {
    throw new HobError("usage", `there are no stubs for "${language}"`, { remedy: "write python or typescript" });
  }
  const [{ openPoolClient }, { moduleName, pythonModule, pythonStub, typescriptStub }] = await Promise.all([
    import("./pool-client.ts"),
    import("./stubs/write.ts"),
  ]);
  using pool = openPoolClient(await runningControl(flags.control));
  const stubbed = await appNamed(app, pool);
  const name = moduleName(app);
  const files: [file: string, language: string, text: string][] = [
    [`${name}.py`, "python", pythonModule(stubbed)],
    [`${name}.pyi`, "python", pythonStub(stubbed)],
    [`${name}.d.ts`, "typescript", typescriptStub(stubbed)],
  ];
  for (const [file, of, text] of files) {
    if (language !== undefined && of !== language) continue;
    const path = join(flags.out, file);
    try {
      mkdirSync(flags.out, { recursive: true });
      writeFileSync(path, text);
    } catch (error) {
      throw systemError(`writing ${path}`, error);
    }
    if (flags.json) printJson({ kind: "stub", app, file: path, language: of });
    else printLine(`${path}: ${stubbed.functions.length} functions of ${app}, ${stubbed.of}`);
  }
}

/** Of what is live, where anything is. */
async function appNamed(
  app: string,
  pool: { functions(app: string): Promise<{ spec: (StubbedApp["functions"][number] & { app: string }) | undefined }[]> },
): Promise<StubbedApp> {
  const specs = (await pool.functions("")).flatMap(({ spec }) => (spec ? [spec] : []));
  const own = specs.filter((spec) => baseOf(spec.app) === app);
  const live = own.find((spec) => spec.app !== app)?.app;
  const functions = own.filter((spec) => spec.app === (live ?? app)).sort((a, b) => (a.name < b.name ? -1 : 1));
  if (functions.length === 0) throw unknownName("app", app, [...new Set(specs.map((spec) => baseOf(spec.app)))]);
  return { app, of: live ? `deployment ${live.slice(app.length + 1)}` : "what was published last", functions };
}
