// ⑤ Reads the node's CDI specifications from their folders, and looks up the numbers of the device nodes that they name.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import type { FoundNode } from "./apply.ts";
import { type CdiSpec, type DeviceNode, parseCdi } from "./cdi.ts";

/** Later folders win (CDI SPEC.md, "Container Runtime"). HOB_CDI_DIRS names others, as PATH does. */
const standardFolders = ["/etc/cdi", "/var/run/cdi"];

function foldersOf(environment: NodeJS.ProcessEnv): string[] {
  const named = environment["HOB_CDI_DIRS"];
  return named ? named.split(delimiter) : standardFolders;
}

const parsed = new Map<string, { key: string; spec: CdiSpec }>();

/** Looked for anew each time: a driver's update writes them again. The strongest first. */
export function readSpecifications(environment: NodeJS.ProcessEnv = process.env): CdiSpec[] {
  const specs: CdiSpec[] = [];
  for (const folder of foldersOf(environment).reverse()) {
    for (const name of namesIn(folder)) {
      if (!/\.(ya?ml|json)$/.test(name)) continue;
      const spec = readSpecification(join(folder, name));
      if (spec) specs.push(spec);
    }
  }
  return specs;
}

function readSpecification(file: string): CdiSpec | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) return undefined; // being replaced
  const key = `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
  const known = parsed.get(file);
  if (known?.key === key) return known.spec;
  try {
    const spec = parseCdi(readFileSync(file, "utf8"), file);
    parsed.set(file, { key, spec });
    return spec;
  } catch (error) {
    throw systemError(`reading ${file}`, error);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw systemError(`reading ${folder}`, error);
  }
}

/** glibc's dev_t (sys/sysmacros.h): 12 bits of the major and 8 of the minor low, the rest of both above. */
function numbersOf(device: number): { major: number; minor: number } {
  const value = BigInt(device);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn);
  const minor = (value & 0xffn) | ((value >> 12n) & ~0xffn);
  return { major: Number(major), minor: Number(minor & 0xffff_ffffn) };
}

export function findNodes(nodes: readonly DeviceNode[]): FoundNode[] {
  return nodes.map((node) => {
    const path = node.hostPath ?? node.path;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) {
      throw new HobError("precondition", `the device ${path} of the node's CDI specification does not exist`, {
        remedy: "run `nvidia-smi` once, which makes it, or `nvidia-ctk cdi generate` anew",
      });
    }
    if (!stat.isCharacterDevice() && !stat.isBlockDevice()) {
      throw new HobError("precondition", `${path} of the node's CDI specification is no device`);
    }
    return { ...node, type: stat.isBlockDevice() ? "b" : "c", ...numbersOf(stat.rdev) };
  });
}
