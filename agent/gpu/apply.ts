// ⑤ CDI edits made to a runc configuration. Pure: what must be looked up of device nodes comes with them.

import { basename } from "node:path";
import { HobError } from "../../base/errors.ts";
import type { DeviceNode, Edits } from "./cdi.ts";

interface Mount {
  destination: string;
  source: string;
  type: string;
  options: string[];
}

interface DeviceRule {
  allow: boolean;
  type?: string;
  major?: number;
  minor?: number;
  access: string;
}

/** The part of an OCI configuration that edits touch. */
export interface Configuration {
  process: { env: string[]; user: { uid: number; gid: number; additionalGids?: number[] } };
  mounts: Mount[];
  hooks?: Record<string, object[]>;
  linux: { resources: { devices: DeviceRule[] } };
}

/** Programs that a specification may have run while a container is made: NVIDIA's own. */
const allowedPrograms = new Set(["nvidia-cdi-hook", "nvidia-ctk"]);
/** Run inside the container's namespaces, as its mapped root; the other kinds would run as root on the node. */
const allowedHook = "createContainer";

export type FoundNode = DeviceNode & { type: string; major: number; minor: number };

/**
 * Devices are shown as bind mounts of the node's own files: in a user namespace none can be made. Whether they may be opened is the
 * cgroup's to say: one rule for each, by number.
 */
export function withEdits<C extends Configuration>(config: C, edits: Edits, nodes: readonly FoundNode[]): C {
  const device = ({ path, hostPath }: FoundNode): Mount => ({
    destination: path,
    source: hostPath ?? path,
    type: "bind",
    options: ["bind", "nosuid", "noexec"],
  });
  const rule = ({ type, major, minor, permissions }: FoundNode): DeviceRule => ({
    ...{ allow: true, type, major, minor },
    access: permissions || "rw",
  });
  const mounts = (edits.mounts ?? []).map(({ hostPath, containerPath, options, type }) => ({
    destination: containerPath,
    source: hostPath,
    type: type ?? "bind",
    options: options ?? ["ro", "nosuid", "nodev", "bind"],
  }));
  const hooks = edits.hooks ?? [];
  for (const { hookName, path } of hooks) {
    if (hookName === allowedHook && allowedPrograms.has(basename(path))) continue;
    throw new HobError(
      "precondition",
      `the node's CDI specification wants ${path} run as a ${hookName} hook, which hob does not`,
      {
        remedy: `only ${allowedHook} hooks of ${[...allowedPrograms].join(" and ")} are run`,
      },
    );
  }
  const gids = edits.additionalGids ?? [];
  const { env, user } = config.process;
  const replaced = new Set((edits.env ?? []).map((entry) => entry.split("=", 1)[0]));
  return {
    ...config,
    process: {
      ...config.process,
      env: [...env.filter((entry) => !replaced.has(entry.split("=", 1)[0])), ...(edits.env ?? [])],
      user: gids.length > 0 ? { ...user, additionalGids: [...(user.additionalGids ?? []), ...gids] } : user,
    },
    mounts: [...config.mounts, ...nodes.map(device), ...mounts],
    ...(hooks.length > 0
      ? { hooks: { ...config.hooks, [allowedHook]: hooks.map(({ path, args, env: own }) => ({ path, args, env: own })) } }
      : {}),
    linux: {
      ...config.linux,
      resources: { ...config.linux.resources, devices: [...config.linux.resources.devices, ...nodes.map(rule)] },
    },
  };
}
