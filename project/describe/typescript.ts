// ② Describes a project's TypeScript: what each function reaches is its version; esbuild is asked when more than bodies has changed.

import { spawn } from "node:child_process";
import { isBuiltin } from "node:module";
import { dirname, join, posix } from "node:path";
import { json } from "node:stream/consumers";
import { type Digest, sha256 } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { entryFile, installRoot } from "../../base/install.ts";
import type { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";
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
import { type Covered, coverOf, readsFiles } from "./typescript-cover.ts";
import {
  type BodyChange,
  bodyChanges,
  linkedBundle,
  loadedBy,
  ranAtLoad,
  wantedPackages,
  wholeReason,
} from "./typescript-link.ts";
import { type ReadModule, readModule } from "./typescript-module.ts";
import { createPackageBundler, noPackages } from "./typescript-packages.ts";
import { createPatches, type Patches } from "./typescript-patch.ts";
import { evaluatedModules, findLocal, type Graph, reach, type Unit } from "./typescript-reach.ts";
import { codeText, type DeclaredFunction, type ModuleSyntax, specText } from "./typescript-syntax.ts";

interface Declared {
  key: string; // FILE#NAME
  file: string;
  app: string;
  declared: DeclaredFunction;
}

type Evaluated = { specs: Record<string, EvaluatedSpec> } | { error: string };

/** What the last build of a declaring file gave. */
interface Known {
  code: Built;
  specs: Evaluated;
  /** Why its functions are bundles for themselves; "" when they are not. */
  whole: string;
}

const evaluationLimitMs = 5_000;
const extensions = ["", ".ts", ".tsx", ".mts", ".js", ".mjs", "/index.ts", "/index.js"];

/** `sdkFile` is what "hob" stands for in the project. */
export function createTypeScriptDescriber(
  root: string,
  sdkFile: string = join(installRoot, "sdk", "typescript", "index.ts"),
): LanguageDescriber {
  const modules = new Map<string, ReadModule>();
  const faulty = new Map<string, ModuleSyntax>(); // of modules that do not parse: what they declared before, with the faults
  const sdk = bundleSdk(sdkFile);
  sdk.catch(() => {}); // every build of it tells
  const bundlers = new Map<string, { code: Bundler; spec: Bundler }>(); // by the declaring file
  const known = new Map<string, Known>(); // by the declaring file
  const resolved = new Map<string, ReadonlyMap<string, string>>(); // file → specifier → path
  const packageBundler = createPackageBundler(root);
  let packages = noPackages;
  const evaluated = new Map<Digest, Evaluated>();
  let served = new Map<string, DescribedFunction>();
  const baselines = new Map<string, ReadonlyMap<string, ReadModule>>(); // by function: the modules that its version was made from

  const graph: Graph = {
    modules,
    resolve(file, from) {
      if (from === "hob") return { kind: "native", name: "hob" };
      const path = resolved.get(file)?.get(from);
      if (isBuiltin(from)) return { kind: "native", name: from.startsWith("node:") ? from : `node:${from}` };
      if (path === undefined || path === "external") return undefined;
      return { kind: modules.has(path) ? "project" : "package", path };
    },
  };

  /** Reads the changed files. What every build has to look at again; `bodies`: there is nothing but bodies that are others. */
  function take({ changed, removed, others = [] }: SourceChanges): { files: string[] | undefined; bodies: boolean } {
    const reads = [...known.keys()].flatMap((file) => evaluatedModules(graph, file, true));
    let anew = removed.length > 0 || others.some((path) => configuration.test(path)); // what an import means may be another file now
    let bodies = !others.some((path) => packages.inputs.has(path));
    for (const path of removed) {
      modules.delete(path);
      faulty.delete(path);
    }
    const differing: BodyChange[] = [];
    for (const { path, source } of changed) {
      const before = modules.get(path);
      const module = readModule(path, source, before);
      const { syntax } = module;
      if (syntax && syntax.diagnostics.length > 0) {
        const declared = faulty.get(path) ?? before?.syntax;
        faulty.set(path, declared ? { ...declared, diagnostics: syntax.diagnostics } : syntax);
      } else faulty.delete(path);
      modules.set(path, module);
      anew ||= before === undefined;
      if (!before || !reads.includes(path)) continue;
      const changes = module.whole || before.whole ? "" : bodyChanges(path, before, module);
      if (typeof changes === "string") bodies = false;
      else differing.push(...changes);
    }
    bodies &&= !anew && [...known.values()].every(({ whole, code }) => whole === "" && code.diagnostics.length === 0);
    if (bodies && differing.length > 0) bodies = ranAtLoad(differing, loadedBy(graph, linkedModules())) === undefined;
    return { files: anew ? undefined : [...changed.map(({ path }) => path), ...others], bodies };
  }

  /** Every module that a process may evaluate, in order. */
  function linkedModules(): string[] {
    const files = [...known].filter(([, { whole }]) => whole === "").map(([file]) => file);
    return [...new Set(files.flatMap((file) => evaluatedModules(graph, file, true)))];
  }

  const syntaxOf = (file: string): ModuleSyntax | undefined => faulty.get(file) ?? modules.get(file)?.syntax;

  /** For esbuild; a faulty module goes to it as it is. */
  function textFor(file: string, make: (source: string, syntax: ModuleSyntax) => string): string | undefined {
    const module = modules.get(file);
    if (!module?.syntax || faulty.has(file)) return module?.source;
    return make(module.source, module.syntax);
  }

  function resolveFile(importer: string, from: string): string | undefined {
    if (!from.startsWith(".")) return undefined;
    const stem = posix.join(dirname(importer), from);
    const candidates = [...extensions.map((extension) => stem + extension), stem.replace(/\.(m?)js$/, ".$1ts")];
    return candidates.find((candidate) => modules.has(candidate));
  }

  /** The name of the app that a module calls `local`. */
  function appName(file: string, local: string, depth = 0): string | undefined {
    const syntax = syntaxOf(file);
    if (!syntax || depth > 8) return undefined;
    if (syntax.apps.has(local)) return syntax.apps.get(local);
    const imported = syntax.imports.get(local);
    const target = imported && resolveFile(file, imported.from);
    if (!target) return undefined;
    return appName(target, syntaxOf(target)?.exports.get(imported.name) ?? imported.name, depth + 1);
  }

  function declaredFunctions(diagnostics: Diagnostic[]): Declared[] {
    const found: Declared[] = [];
    const names = new Map<string, Declared>();
    for (const file of [...modules.keys()].sort()) {
      const syntax = syntaxOf(file);
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
    let made = bundlers.get(file);
    if (!made) {
      made = {
        code: createBundler({ root, sdk, load: (path) => textFor(path, codeText) }),
        spec: createBundler({ root, sdk, load: (path) => textFor(path, specText) }),
      };
      bundlers.set(file, made);
    }
    return made;
  }

  /** Bundles what one file declares, and evaluates its options where they may be others than before. */
  async function build(file: string, mine: Declared[], files: string[] | undefined): Promise<void> {
    const from = JSON.stringify(`./${file}`);
    const { code, spec } = bundlersOf(file);
    const constants = new Set(mine.map(({ declared }) => declared.constant));
    const entries = new Map([...constants].map((name) => [`${file}#${name}`, `export { ${name} as default } from ${from}`]));
    const [built, options] = await Promise.all([
      code.build(entries, files),
      spec.build(new Map([[file, `export * from ${from}`]]), files),
    ]);
    for (const [path, targets] of built.imports) resolved.set(path, targets);
    const bundle = options.bundles.get(file);
    let specs: Evaluated = { specs: {} }; // the same faults as those of the code
    if (bundle) {
      specs =
        evaluated.get(bundle.codeDigest) ?? (await evaluate({ code: bundle.code, root, absent: [...options.absent.keys()] }));
      evaluated.set(bundle.codeDigest, specs);
    }
    known.set(file, { code: built, specs, whole: "" });
  }

  async function describe(changes: SourceChanges, snapshot: Snapshot): Promise<LanguageDescription> {
    const { files, bodies } = take(changes);
    const diagnostics: Diagnostic[] = [];
    const declared = declaredFunctions(diagnostics);
    const declaring = [...new Set(declared.map((each) => each.file))];
    await Promise.all([...bundlers.keys()].filter((file) => !declaring.includes(file)).map(forget));
    if (!bodies || declaring.some((file) => !known.has(file))) {
      const builds = declaring.map((file) =>
        build(
          file,
          declared.filter((each) => each.file === file),
          files,
        ),
      );
      await Promise.all(builds);
      await link(files);
    }
    const next = new Map<string, DescribedFunction>();
    for (const { code } of known.values()) {
      for (const fault of code.diagnostics) {
        if (!diagnostics.some((other) => other.file === fault.file && other.line === fault.line)) diagnostics.push(fault);
      }
    }
    const patches = createPatches({ graph, baselines, modules: linkedModules() });
    for (const each of declared) {
      const { code, specs, whole } = known.get(each.file)!;
      const bundle = code.bundles.get(`${each.file}#${each.declared.constant}`);
      const said = bundle && specOf(each, specs, snapshot, diagnostics);
      const spec = said && imageHasAll(code.absent, said, diagnostics) ? said : undefined;
      const before = served.get(each.key);
      const described =
        bundle && spec ? complete(each, { bundle, whole, spec, before, patches }, snapshot) : before && { ...before, held: true };
      if (described) next.set(each.key, described);
    }
    served = next;
    return { functions: [...next.values()], diagnostics };
  }

  /** Which files' functions can share modules, and the packages that those import. */
  async function link(files: string[] | undefined): Promise<void> {
    for (const [file, entry] of known)
      entry.whole = entry.code.diagnostics.length > 0 ? "it has faults" : wholeReason(graph, file);
    const linked = [...known].filter(([, { whole }]) => whole === "").map(([file]) => file);
    const stale = files === undefined || files.some((path) => packages.inputs.has(path));
    try {
      packages = await packageBundler.bundle(wantedPackages(graph, linked), stale);
    } catch {
      for (const file of linked) known.get(file)!.whole = "its packages cannot be one module"; // then as they are bundled for it alone
    }
  }

  async function forget(file: string): Promise<void> {
    const { code, spec } = bundlers.get(file)!;
    bundlers.delete(file);
    known.delete(file);
    await Promise.all([code[Symbol.asyncDispose](), spec[Symbol.asyncDispose]()]);
  }

  function specOf(each: Declared, said: Evaluated, snapshot: Snapshot, diagnostics: Diagnostic[]): FunctionSpec | undefined {
    const { file, app, declared } = each;
    const { name, className, parameters, returns, doc, line } = declared;
    const spec = "specs" in said ? said.specs[name] : undefined;
    let reason = "error" in said ? said.error : "the module does not export it";
    try {
      const shape = { app, language: "typescript", module: file, qualname: name, className, parameters, returns, doc, line };
      if (spec) return toFunctionSpec(spec, shape, snapshot);
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      reason = error.sentence;
    }
    const sourceLine = modules.get(file)!.source.split("\n")[line - 1] ?? "";
    diagnostics.push({ file, line, column: 1, message: `the options of ${name} could not be evaluated: ${reason}`, sourceLine });
    return undefined;
  }

  function complete(
    each: Declared,
    made: { bundle: Bundle; whole: string; spec: FunctionSpec; before: DescribedFunction | undefined; patches: Patches },
    snapshot: Snapshot,
  ): DescribedFunction {
    const { file, key } = each;
    const { spec } = made;
    const covered = made.whole ? coveredByBundle(each, made.bundle, snapshot) : coveredByReach(each);
    const { reader, parts } = covered;
    if (reader) parts["files"] = reader.programs ? snapshot.digest : dataDigest(snapshot);
    const digest = sha256([covered.code, parts["files"] ?? "", specDigestText(spec)].join("\n"));
    const { before } = made;
    const described: DescribedFunction = {
      kind: "function",
      spec,
      digest,
      code: covered.code,
      parts,
      whole: reader ? { files: reader.why } : {},
      held: false,
      keepsState: covered.keepsState,
    };
    // Of the same version the bundle stays what it was: it is what processes have.
    if (before?.digest === digest && before.bundle) {
      const { bundle, patch, anew } = before;
      return { ...described, bundle, ...(patch && { patch }), ...(anew !== undefined && { anew }) };
    }
    const { data, digest: bundle } = made.whole ? made.bundle : linkedBundle(graph, file, packages);
    const possible = !made.whole && before && sameBesides(before.parts, parts);
    const patch = possible ? made.patches.from(key, file, before, covered.keepsState) : undefined;
    // With the code as it was, its process may go on as it is.
    if (made.whole) baselines.delete(key);
    else if (before?.code !== covered.code || !baselines.has(key)) baselines.set(key, new Map(modules));
    const how = typeof patch === "string" ? { anew: patch } : patch && { patch };
    return { ...described, bundle: { data, digest: bundle }, ...how };
  }

  /** A bundle of its own: all that esbuild has left in it. */
  function coveredByBundle({ file, declared }: Declared, bundle: Bundle, snapshot: Snapshot): Covered {
    const parts: Record<string, string> = {
      own: sha256(modules.get(file)!.source.slice(declared.body.start, declared.body.end)),
    };
    for (const path of bundle.files)
      parts[`${path === file ? "code" : "bundle"} ${path}`] = snapshot.files.get(path)?.digest ?? "";
    return { parts, code: bundle.codeDigest, reader: readsFiles(bundle.code), keepsState: true };
  }

  function coveredByReach({ file, declared }: Declared): Covered {
    const found = findLocal(graph, file, declared.constant) as { at: Unit };
    const method = declared.className ? declared.name.split(".")[1]! : "";
    const reached = reach(graph, evaluatedModules(graph, file), [{ ...found.at, method }]);
    return coverOf(reached, { ...found.at, method }, packages);
  }

  return {
    describe,
    async [Symbol.asyncDispose]() {
      await Promise.all([...bundlers.keys()].map(forget));
    },
  };
}

/** Whether the packages that are not here may come from the function's image; says so where they cannot. */
function imageHasAll(absent: Built["absent"], { image }: FunctionSpec, diagnostics: Diagnostic[]): boolean {
  const steps = image?.steps ?? [];
  if (image?.source === "oci" || steps.some(({ kind }) => kind === "run")) return true; // nobody knows what they bring
  const installed = steps.flatMap((step) =>
    step.kind === "npm" ? step.arguments.map((words) => words.replace(/(?<=.)@.*$/, "")) : [],
  );
  const lacking = [...absent].filter(([name]) => !installed.includes(name));
  for (const fault of lacking.flatMap(([, faults]) => faults)) if (!diagnostics.includes(fault)) diagnostics.push(fault);
  return lacking.length === 0;
}

/** What says how a bundle is made. */
const configuration = /(^|\/)(tsconfig[^/]*|package)\.json$/;

/** Packages and data files are loaded with the process. */
const sameBesides = (before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): boolean =>
  Object.keys({ ...before, ...now }).every((key) => !/^(?:import |files$)/.test(key) || before[key] === now[key]);

async function evaluate(request: { code: string; root: string; absent: string[] }): Promise<Evaluated> {
  const child = spawn(process.execPath, [entryFile("project/describe/typescript-evaluate")], {
    stdio: ["pipe", "pipe", "ignore"],
    cwd: request.root,
  });
  child.stdin.on("error", () => {}); // it has ended: what it says, or does not say, tells
  child.stdin.end(JSON.stringify(request));
  const limit = setTimeout(() => child.kill("SIGKILL"), evaluationLimitMs);
  try {
    return (await json(child.stdout)) as Evaluated;
  } catch {
    return { error: `they did not come to an end within ${evaluationLimitMs / 1000} s` };
  } finally {
    clearTimeout(limit);
  }
}
