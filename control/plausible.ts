// ④ What an agent may say of its machine: nothing that no machine is, and nothing without bound. Pure.

import type { NodeInfo } from "../proto/gen/hob/v1/fleet.ts";

const most = { cores: 4_096, memoryBytes: 2 ** 47, containers: 4_096, images: 10_000, gpus: 64 }; // agent/container/slots.ts: 1,024 containers

/** Why it cannot be true; undefined when it can. */
export function implausible({ cores, memoryBytes, memoryUsedBytes, containers, images, gpus }: NodeInfo): string | undefined {
  if (cores > most.cores) return `it says that it has ${cores} cores`;
  if (memoryBytes > most.memoryBytes) return `it says that it has ${Math.round(memoryBytes / 2 ** 40)} TiB of memory`;
  if (memoryBytes > 0 && memoryUsedBytes > 2 * memoryBytes) return "it says that it uses more memory than it has";
  if (containers.length > most.containers) return `it says that it runs ${containers.length} containers`;
  if (images.length > most.images) return `it says that it holds ${images.length} images`;
  return gpus.length > most.gpus ? `it says that it has ${gpus.length} GPUs` : undefined;
}
