// ② Describes a project's TypeScript: syntax trees say what there is, a tree-shaken bundle of each function is its version.

import { spawn } from "node:child_process";
import { dirname, join, posix } from "node:path";
import { json } from "node:stream/consumers";
import { type Digest, sha256 } from "../../base/content-folder.ts";
import { entryFile, installRoot } from "../../base/install.ts";
import type { Diagnostic } from "../events.ts";
import { dataDigest, type Snapshot } from "../snapshot.ts";
import { type DescribedFunction, specText as specDigestText } from "./changes.ts";
import {
  type EvaluatedSpec,
  type LanguageDescriber,
  type LanguageDescription,
  type SourceChanges,
  toFunctionSpec,
} from "./python.ts";
import { type Built, type Bundle, type Bundler, bundleSdk, createBundler } from "./typescript-bundle.ts";
import { codeText, type DeclaredFunction, type ModuleSyntax, mayDeclare, parseModule, specText } from "./typescript-syntax.ts";

interface Module {
  source: string;
  code: string;
  spec: string;
  syntax: ModuleSyntax | undefined; // when it may declare something
}

interface Declared {
  key: string; // FILE#NAME
  file: string;
  app: string;
  declared: DeclaredFunction;
}

type Evaluated = { specs: Record<string, EvaluatedSpec> } | { error: string };

const evaluationLimitMs = 5_000;
const extensions = ["", ".ts", ".tsx", ".mts", ".js", ".mjs", "/index.ts", "/index.js"];

/** `sdkFile` is what "hob" stands for in the project. */
export function createTypeScriptDescriber(
  root: string,
  sdkFile: string = join(installRoot, "sdk", "typescript", "index.ts"),
): LanguageDescriber {
  const modules = new Map<string, Module>();
  const sdk = bundleSdk(sdkFile);
  sdk.catch(() => {}); // every build of it tells
  const bundlers = new Map<string, { code: Bundler; spec: Bundler }>(); // by the declaring file
  const evaluated = new Map<Digest, Evaluated>();
  let served = new Map<string, DescribedFunction>();

  /** The files whose code, and those whose options (or what they may reach), are others than before; undefined when any may be. */
  function take({ changed, removed, others = [] }: SourceChanges): { code: string[] | undefined; spec: string[] | undefined } {
    const code: string[] = [];
    const spec: string[] = [];
    let anew = removed.length > 0; // what an import means may be another file now
    for (const path of removed) modules.delete(path);
    for (const { path, source } of changed) {
      const before = modules.get(path);
      const syntax = mayDeclare(source) ? parseModule(path, source) : undefined;
      const sound = syntax && syntax.diagnostics.length === 0;
      // A faulty module goes to esbuild as it is, and what it declared before stays declared.
      const module = {
        source,
        syntax: syntax && !sound && before?.syntax ? { ...before.syntax, diagnostics: syntax.diagnostics } : syntax,
        code: sound ? codeText(source, syntax) : source,
        spec: sound ? specText(source, syntax) : source,
      };
      modules.set(path, module);
      anew ||= before === undefined;
      if (before?.code !== module.code) code.push(path);
      if (before?.spec !== module.spec) spec.push(path);
    }
    anew ||= others.some((path) => configuration.test(path));
    return anew ? { code: undefined, spec: undefined } : { code: [...code, ...others], spec: [...spec, ...others] };
  }

  function resolveFile(importer: string, from: string): string | undefined {
    if (!from.startsWith(".")) return undefined;
    const stem = posix.join(dirname(importer), from);
    const candidates = [...extensions.map((extension) => stem + extension), stem.replace(/\.(m?)js$/, ".$1ts")];
    return candidates.find((candidate) => modules.has(candidate));
  }

  /** The name of the app that a module calls `local`. */
  function appName(file: string, local: string, depth = 0): string | undefined {
    const syntax = modules.get(file)?.syntax;
    if (!syntax || depth > 8) return undefined;
    if (syntax.apps.has(local)) return syntax.apps.get(local);
    const imported = syntax.imports.get(local);
    const target = imported && resolveFile(file, imported.from);
    if (!target) return undefined;
    return appName(target, modules.get(target)?.syntax?.exports.get(imported.name) ?? imported.name, depth + 1);
  }

  function declaredFunctions(diagnostics: Diagnostic[]): Declared[] {
    const found: Declared[] = [];
    const names = new Map<string, Declared>();
    for (const file of [...modules.keys()].sort()) {
      const syntax = modules.get(file)!.syntax;
      if (!syntax) continue;
      diagnostics.push(...syntax.diagnostics);
      for (const declared of syntax.functions) {
        const app = appName(file, declared.app);
        if (app === undefined) continue;
        const entry = { key: `${file}#${declared.name}`, file, app, declared };
        const other = names.get(`${app}/${declared.name}`);
        if (other) {
          const message = `app ${app} has two functions named ${declared.name}: the other one is in ${other.file} line ${other.declared.line}`;
          const sourceLine = modules.get(file)!.source.split("\n")[declared.line - 1] ?? "";
          diagnostics.push({ file, line: declared.line, column: 1, message, sourceLine });
          continue;
        }
        names.set(`${app}/${declared.name}`, entry);
        found.push(entry);
      }
    }
    return found;
  }

  function bundlersOf(file: string): { code: Bundler; spec: Bundler } {
    let known = bundlers.get(file);
    if (!known) {
      known = {
        code: createBundler({ root, sdk, load: (path) => modules.get(path)?.code }),
        spec: createBundler({ root, sdk, load: (path) => modules.get(path)?.spec }),
      };
      bundlers.set(file, known);
    }
    return known;
  }

  /** Bundles what one file declares, and evaluates its options where they may be others than before. */
  async function build(
    file: string,
    mine: Declared[],
    changed: ReturnType<typeof take>,
  ): Promise<{ code: Built; specs: Evaluated }> {
    const from = JSON.stringify(`./${file}`);
    const { code, spec } = bundlersOf(file);
    const entries = new Map(mine.map(({ key, declared }) => [key, `export { ${declared.name} as default } from ${from}`]));
    const [built, options] = await Promise.all([
      code.build(entries, changed.code),
      spec.build(new Map([[file, `export * from ${from}`]]), changed.spec),
    ]);
    const bundle = options.bundles.get(file);
    if (!bundle) return { code: built, specs: { specs: {} } }; // the same faults as those of the code
    let specs = evaluated.get(bundle.codeDigest);
    if (!specs) {
      specs = await evaluate(bundle.code, root);
      evaluated.set(bundle.codeDigest, specs);
    }
    return { code: built, specs };
  }

  async function describe(changes: SourceChanges, snapshot: Snapshot): Promise<LanguageDescription> {
    const changed = take(changes);
    const diagnostics: Diagnostic[] = [];
    const declared = declaredFunctions(diagnostics);
    const files = new Set(declared.map((each) => each.file));
    await Promise.all([...bundlers.keys()].filter((file) => !files.has(file)).map(forget));
    const next = new Map<string, DescribedFunction>();
    const builds = [...files].map(async (file) => {
      const mine = declared.filter((each) => each.file === file);
      return { mine, ...(await build(file, mine, changed)) };
    });
    for (const { mine, code, specs } of await Promise.all(builds)) {
      for (const fault of code.diagnostics) {
        if (!diagnostics.some((known) => known.file === fault.file && known.line === fault.line)) diagnostics.push(fault);
      }
      for (const each of mine) {
        const bundle = code.bundles.get(each.key);
        const spec = bundle && specOf(each, specs, diagnostics);
        const before = served.get(each.key);
        const described = bundle && spec ? complete(each, bundle, spec, snapshot) : before && { ...before, held: true };
        if (described) next.set(each.key, described);
      }
    }
    served = next;
    return { functions: [...next.values()], diagnostics };
  }

  async function forget(file: string): Promise<void> {
    const { code, spec } = bundlers.get(file)!;
    bundlers.delete(file);
    await Promise.all([code[Symbol.asyncDispose](), spec[Symbol.asyncDispose]()]);
  }

  function specOf({ file, declared }: Declared, said: Evaluated, diagnostics: Diagnostic[]): EvaluatedSpec | undefined {
    if ("specs" in said && said.specs[declared.name]) return said.specs[declared.name];
    const reason = "error" in said ? said.error : "the module does not export it";
    const sourceLine = modules.get(file)!.source.split("\n")[declared.line - 1] ?? "";
    const message = `the options of ${declared.name} could not be evaluated: ${reason}`;
    diagnostics.push({ file, line: declared.line, column: 1, message, sourceLine });
    return undefined;
  }

  function complete(
    { file, app, declared }: Declared,
    bundle: Bundle,
    evaluatedSpec: EvaluatedSpec,
    snapshot: Snapshot,
  ): DescribedFunction {
    const { name, parameters, returns, doc, line } = declared;
    const spec = toFunctionSpec(evaluatedSpec, {
      app,
      language: "typescript",
      module: file,
      qualname: name,
      parameters,
      returns,
      doc,
      line,
    });
    const parts: Record<string, string> = {
      own: sha256(modules.get(file)!.source.slice(declared.body.start, declared.body.end)),
    };
    for (const path of bundle.files)
      parts[`${path === file ? "code" : "bundle"} ${path}`] = snapshot.files.get(path)?.digest ?? "";
    const reader = readsFiles(bundle.code);
    if (reader) parts["files"] = reader.programs ? snapshot.digest : dataDigest(snapshot);
    const digest = sha256([bundle.codeDigest, parts["files"] ?? "", specDigestText(spec)].join("\n"));
    const whole: Record<string, string> = reader ? { files: reader.why } : {};
    return {
      kind: "function",
      spec,
      digest,
      code: bundle.codeDigest,
      parts,
      whole,
      held: false,
      bundle: { digest: bundle.digest, data: bundle.data },
    };
  }

  return {
    describe,
    async [Symbol.asyncDispose]() {
      await Promise.all([...bundlers.keys()].map(forget));
    },
  };
}

/** What says how a bundle is made. */
const configuration = /(^|\/)(tsconfig[^/]*|package)\.json$/;

const fileReader = /\b(?:require|import)\(["'](?:node:)?(fs|fs\/promises)["']\)/;
const programRunner = /\b(?:require|import)\(["'](?:node:)?(child_process|worker_threads|module)["']\)/;

/** Why a bundle may read data files of the project; with `programs`, also run or load code that is not in it. */
function readsFiles(code: string): { why: string; programs: boolean } | undefined {
  const runner = programRunner.exec(code)?.[1];
  if (runner) return { why: `it uses ${runner}`, programs: true };
  if (/\bimport\((?!["'])/.test(code)) return { why: "it imports a computed name", programs: true };
  const reader = fileReader.exec(code)?.[1];
  return reader ? { why: `it uses ${reader}`, programs: false } : undefined;
}

async function evaluate(code: string, root: string): Promise<Evaluated> {
  const child = spawn(process.execPath, [entryFile("project/describe/typescript-evaluate")], {
    stdio: ["pipe", "pipe", "ignore"],
    cwd: root,
  });
  child.stdin.on("error", () => {}); // it has ended: what it says, or does not say, tells
  child.stdin.end(JSON.stringify({ code, root }));
  const limit = setTimeout(() => child.kill("SIGKILL"), evaluationLimitMs);
  try {
    return (await json(child.stdout)) as Evaluated;
  } catch {
    return { error: `they did not come to an end within ${evaluationLimitMs / 1000} s` };
  } finally {
    clearTimeout(limit);
  }
}
