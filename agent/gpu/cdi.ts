// ⑤ The node's CDI specifications (Container Device Interface, versions 0.3 to 0.8): which edits of a container give it which device. Pure.

import { parse } from "yaml";
import { HobError } from "../../base/errors.ts";

export interface DeviceNode {
  path: string;
  hostPath?: string;
  type?: string;
  major?: number;
  minor?: number;
  /** "rwm", as in cgroup rules. */
  permissions?: string;
}

interface CdiMount {
  hostPath: string;
  containerPath: string;
  options?: string[];
  type?: string;
}

interface CdiHook {
  hookName: string;
  path: string;
  args?: string[];
  env?: string[];
}

export interface Edits {
  env?: string[];
  deviceNodes?: DeviceNode[];
  mounts?: CdiMount[];
  hooks?: CdiHook[];
  additionalGids?: number[];
}

export interface CdiSpec {
  kind: string;
  devices: { name: string; containerEdits?: Edits }[];
  containerEdits?: Edits;
  /** The file that it came from, for errors. */
  file: string;
}

const gpuKind = "nvidia.com/gpu";

/** One file, YAML or JSON (which is YAML). Throws `corrupt` for what is no CDI specification. */
export function parseCdi(text: string, file: string): CdiSpec {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new HobError("corrupt", `${file} is neither YAML nor JSON: ${error instanceof Error ? error.message : error}`, {
      remedy: "make it again with `nvidia-ctk cdi generate`",
    });
  }
  const spec = value as Partial<CdiSpec> & { cdiVersion?: unknown };
  if (typeof spec?.cdiVersion !== "string" || typeof spec.kind !== "string" || !Array.isArray(spec.devices)) {
    throw new HobError("corrupt", `${file} is no CDI specification: it lacks cdiVersion, kind or devices`);
  }
  return {
    kind: spec.kind,
    devices: spec.devices,
    file,
    ...(spec.containerEdits ? { containerEdits: spec.containerEdits } : {}),
  };
}

/** Devices are named by UUID, by index ("0"), or both; "all" is never taken for one. */
function deviceEdits(spec: CdiSpec, device: { uuid: string; index: number }): Edits | undefined {
  const names = [device.uuid, String(device.index), `gpu${device.index}`];
  const found = names.map((name) => spec.devices.find((entry) => String(entry.name) === name)).find(Boolean);
  return found && (found.containerEdits ?? {});
}

/** What a container needs to have these devices: the edits of each, and those of their specification once. */
export function editsFor(specs: readonly CdiSpec[], devices: readonly { uuid: string; index: number }[]): Edits {
  const chosen: Edits[] = [];
  const used = new Set<CdiSpec>();
  for (const device of devices) {
    const spec = specs.find((candidate) => candidate.kind === gpuKind && deviceEdits(candidate, device));
    const own = spec && deviceEdits(spec, device);
    if (!spec || !own) {
      throw new HobError("precondition", `no CDI specification of this node names the GPU ${device.index} (${device.uuid})`, {
        remedy: "make one with `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
      });
    }
    used.add(spec);
    chosen.push(own);
  }
  return merge([...[...used].map((spec) => spec.containerEdits ?? {}), ...chosen]);
}

function merge(all: readonly Edits[]): Edits {
  const unique = <T>(list: T[], key: (item: T) => string): T[] => [...new Map(list.map((item) => [key(item), item])).values()];
  return {
    env: unique(
      all.flatMap(({ env = [] }) => env),
      (entry) => entry.slice(0, entry.indexOf("=")),
    ),
    deviceNodes: unique(
      all.flatMap(({ deviceNodes = [] }) => deviceNodes),
      ({ path }) => path,
    ),
    mounts: unique(
      all.flatMap(({ mounts = [] }) => mounts),
      ({ containerPath }) => containerPath,
    ),
    hooks: unique(
      all.flatMap(({ hooks = [] }) => hooks),
      (hook) => JSON.stringify(hook),
    ),
    additionalGids: [...new Set(all.flatMap(({ additionalGids = [] }) => additionalGids))],
  };
}
