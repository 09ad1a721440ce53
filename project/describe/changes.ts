// ② From what was described before to what is described now: which functions changed, at which tier, and why. Pure.

import type { Endpoint, FunctionSpec, PatchedUnit } from "../../proto/gen/hob/v1/common.ts";
import { hostImageRef, imageKey } from "../../proto/image.ts";
import { scheduleText } from "../../proto/schedule-text.ts";
import type { Tier } from "../events.ts";
import { imageReason } from "./image.ts";
import { type LoadedCode, loadedAfter, type PatchPlan, patchBetween, type Unit } from "./patches.ts";

export interface DescribedFunction {
  kind: "function" | "local";
  spec: FunctionSpec;
  /** The version: over the code that it reaches, the files that it may read, and what its spec asks for. */
  digest: string;
  /** Digest of the code alone. */
  code: string;
  /**
   * What the digest covers, for reasons: "own", "name helpers.clean", "code app.py" (what acts when the module is imported), "all app.py"
   * (a module that counts as a whole), "import numpy", "file data.csv", "files" (any file at all), "bundle FILE" for TypeScript.
   */
  parts: Readonly<Record<string, string>>;
  /** Why a module counts as a whole, by path ("*": the project); and under "files" why any file counts. */
  whole: Readonly<Record<string, string>>;
  /** One of the modules that it imports does not parse: it keeps the version that it has. */
  held: boolean;
  /** Of those parts that are definitions which a process that has loaded them can be given anew. */
  units?: Readonly<Record<string, Unit>>;
  /** Of parts whose text can only change in a new process: why. */
  fixed?: Readonly<Record<string, string>>;
  /** Python: what a process has loaded that has this version, reached or not. */
  loaded?: LoadedCode | undefined;
  /** Its calls may leave something in the process that a later call can see. */
  keepsState?: boolean;
  /** They are seen to; where this is false, only code of libraries might. */
  stores?: boolean;
  bundle?: { digest: string; data: Uint8Array };
  /** TypeScript: how a process that serves the version `from` goes on as this one; absent when it has to load anew. */
  patch?: PatchFrom;
  /** TypeScript: why it has to. */
  anew?: string;
}

export interface PatchFrom {
  from: string; // the digest of the version described before
  fromBundle?: string; // and that of its bundle
  keep: "all" | "loaded"; // common.proto, Patch
  units: PatchedUnit[];
  bundle?: { digest: string; data: Uint8Array };
}

interface FunctionChange {
  after: DescribedFunction;
  tier: Tier;
  reason: string;
  /** With the tier "patch". */
  patch?: PatchPlan;
}

export interface Changes {
  changes: FunctionChange[];
  removed: DescribedFunction[];
  /** Why nothing has to be reloaded; absent when something has. */
  nothing?: string;
}

export const functionKey = (described: { spec: { app: string; name: string } }): string =>
  `${described.spec.app}/${described.spec.name}`;

/**
 * `before` is what serves, `after` what the project says now, by functionKey. `files` are the files that this save changed. Held functions
 * are left as they are.
 */
export function changesBetween(
  before: ReadonlyMap<string, DescribedFunction>,
  after: ReadonlyMap<string, DescribedFunction>,
  files: readonly string[],
): Changes {
  const changes: FunctionChange[] = [];
  for (const [key, now] of after) {
    const was = before.get(key);
    if (now.held || was?.digest === now.digest) continue;
    const change: Omit<FunctionChange, "after"> = was ? changeBetween(was, now, files) : { tier: "fork", reason: "new" };
    changes.push({ after: was && change.patch ? patchedOf(was, now, change.patch) : now, ...change });
  }
  const removed = [...before].filter(([key]) => !after.has(key)).map(([, was]) => was);
  if (changes.length + removed.length > 0) return { changes, removed };
  return { changes, removed, nothing: nothingReason([...after.values()], files) };
}

function changeBetween(was: DescribedFunction, now: DescribedFunction, files: readonly string[]): Omit<FunctionChange, "after"> {
  const asked = specReason(was.spec, now.spec);
  const sameCode = was.code === now.code && sameFiles(was, now);
  if (asked && (asked.tier === "container" || sameCode))
    return asked.tier === "patch" ? { ...asked, patch: { units: [], data: false } } : asked;
  const reason = codeReason(was, now, files) ?? asked?.reason ?? "the order of definitions changed";
  if (asked?.tier === "fork") return { tier: "fork", reason };
  if (now.patch && follows(now.patch, was)) {
    const { units, keep, bundle } = now.patch;
    return { tier: "patch", reason, patch: { units, data: keep === "loaded", ...(bundle && { bundle }) } };
  }
  if (now.anew !== undefined) return { tier: "fork", reason: now.anew };
  const found = patchBetween(was, now);
  if (found.kind === "fork") return { tier: "fork", reason: found.reason ?? reason };
  return { tier: "patch", reason: found.reason, patch: found.plan };
}

/** The function as its process has it once that is patched; what is not known of it stays so. */
function patchedOf(was: DescribedFunction, now: DescribedFunction, { units }: PatchPlan): DescribedFunction {
  return { ...now, loaded: was.loaded && now.loaded && loadedAfter(was.loaded, now.loaded, units) };
}

const follows = (patch: PatchFrom, was: DescribedFunction): boolean =>
  patch.from === was.digest && (patch.fromBundle ?? was.bundle?.digest) === was.bundle?.digest;

const sameFiles = (was: DescribedFunction, now: DescribedFunction): boolean =>
  Object.keys({ ...was.parts, ...now.parts }).every((key) => !key.startsWith("file") || was.parts[key] === now.parts[key]);

/** What can change about a spec, and what it takes: another container, a new process, or nothing that the process has to know. */
const specFields: readonly { name: string; tier: Tier; value(spec: FunctionSpec): unknown }[] = [
  { name: "image", tier: "container", value: (spec) => imageKey(spec.image ?? hostImageRef) },
  { name: "cpu", tier: "container", value: (spec) => spec.cpu },
  { name: "memory", tier: "container", value: (spec) => spec.memoryBytes },
  { name: "gpu", tier: "container", value: (spec) => spec.gpu },
  { name: "network", tier: "container", value: (spec) => spec.network },
  { name: "secrets", tier: "fork", value: (spec) => spec.secrets.join(" ") },
  { name: "concurrency", tier: "fork", value: (spec) => spec.concurrency },
  { name: "buffer_containers", tier: "patch", value: (spec) => spec.bufferContainers },
  { name: "idle_timeout", tier: "patch", value: (spec) => spec.idleTimeoutMs },
  { name: "timeout", tier: "patch", value: (spec) => spec.timeoutMs },
  {
    name: "retries",
    tier: "patch",
    value: ({ retries, backoff }) => (backoff ? `${retries} ${Object.values(backoff)}` : retries),
  },
  { name: "schedule", tier: "patch", value: ({ schedule }) => (schedule ? `${scheduleText(schedule)} ${schedule.missed}` : "") },
  { name: "min_containers", tier: "patch", value: (spec) => spec.minContainers },
  { name: "max_containers", tier: "patch", value: (spec) => spec.maxContainers },
  { name: "module", tier: "fork", value: (spec) => `${spec.module} ${spec.qualname}` },
  { name: "endpoint", tier: "patch", value: ({ endpoint }) => endpointText(endpoint) },
  { name: "language", tier: "container", value: (spec) => spec.language },
];

function endpointText(endpoint: Endpoint | undefined): string {
  if (!endpoint) return "";
  const { kind, path, methods, access, maxBodyBytes } = endpoint;
  return [kind, path, methods, access, maxBodyBytes].join(" ");
}

/** The part of a spec that belongs to the version's digest. */
export const specText = (spec: FunctionSpec): string =>
  specFields.map((field) => `${field.name}=${field.value(spec)}`).join("\n");

function specReason(was: FunctionSpec, now: FunctionSpec): { tier: Tier; reason: string } | undefined {
  const changed = specFields.filter((field) => field.value(was) !== field.value(now));
  if (changed.length === 0) return undefined;
  const tier =
    (["container", "fork", "patch"] as const).find((wanted) => changed.some((field) => field.tier === wanted)) ?? "fork";
  const others = changed.filter(({ name }) => name !== "image").map(({ name }) => name);
  const reasons = [
    changed.length > others.length && imageReason(was.image, now.image),
    others.length > 0 && `${others.join(", ")} changed`,
  ];
  return { tier, reason: reasons.filter(Boolean).join("; ") };
}

function codeReason(was: DescribedFunction, now: DescribedFunction, files: readonly string[]): string | undefined {
  const changed = (key: string): boolean => was.parts[key] !== now.parts[key];
  if (changed("own")) return "body changed";
  const keys = [...new Set([...Object.keys(was.parts), ...Object.keys(now.parts)])].filter(changed).sort();
  const first = (prefix: string): string | undefined => keys.find((key) => key.startsWith(prefix))?.slice(prefix.length);
  const name = keys.find((key) => key.startsWith("name ") && key in was.parts && key in now.parts)?.slice("name ".length);
  if (name !== undefined) return `reaches ${name}`;
  const code = first("code ");
  if (code !== undefined) return `module code of ${code} changed`;
  const bundle = first("bundle ");
  if (bundle !== undefined) return `reaches ${bundle}`;
  const whole = first("all ");
  if (whole !== undefined) {
    const why = now.whole[whole] ?? was.whole[whole];
    return `${why ?? `${whole} counts as a whole`}: all of ${whole} counts`;
  }
  const other = first("name "); // reached now and not before, or the other way round, through something that kept its text
  if (other !== undefined) return `reaches ${other}`;
  const imported = first("import ");
  if (imported !== undefined) return `import of ${imported} changed`;
  const file = first("file ");
  if (file !== undefined) return `reads ${file}`;
  if (!keys.includes("files")) return undefined;
  return `may read any file (${now.whole["files"] ?? was.whole["files"]}): ${files.join(", ") || "a file"} changed`;
}

const sources = /\.(py|tsx?|mts|cts|jsx?|mjs|cjs)$/;

function nothingReason(functions: readonly DescribedFunction[], files: readonly string[]): string {
  if (functions.length === 0) return "the project has no functions";
  if (functions.some((described) => described.held)) return "held until the error is mended";
  const reached = (file: string): boolean => {
    const dotted = file.replace(/(\/__init__)?\.py$/, "").replaceAll("/", ".");
    return functions.some(
      ({ spec, parts }) =>
        spec.module === file || Object.keys(parts).some((key) => key.endsWith(` ${file}`) || key.startsWith(`name ${dotted}.`)),
    );
  };
  const code = files.filter((file) => sources.test(file));
  const foreign = files.filter((file) => !code.includes(file) || !reached(file));
  if (foreign.length === files.length && files.length > 0)
    return `no function reaches ${foreign.slice(0, 3).join(", ")}${foreign.length > 3 ? " …" : ""}`;
  return "comment or formatting only, or code that no function reaches";
}
