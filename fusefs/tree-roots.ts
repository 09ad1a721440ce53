// ⑤ The upper two levels of the snapshots mount, which change while it is mounted: containers, and the snapshots of each.

/** Node ids with 0 in the upper half: 1 is the root, 2 + N is container N. Numbers are never used again. */
export const ROOT_NODE = 1;
const FIRST_CONTAINER = 2;

export interface Roots {
  addContainer(name: string, number: number): void;
  removeContainer(name: string): void;
  addSnapshot(container: string, snapshot: string, high: number): void;
  removeSnapshot(container: string, snapshot: string): void;
  /** Node id (lower half) of a container, or 0. */
  container(name: string): number;
  /** The container that has this node id. */
  containerName(low: number): string | undefined;
  /** Binding of a snapshot, or 0. */
  snapshot(container: string, snapshot: string): number;
  containerNames(): string[];
  snapshotNames(container: string): string[];
}

export function createRoots(): Roots {
  const containers = new Map<string, { low: number; snapshots: Map<string, number> }>();
  const names = new Map<number, string>();
  return {
    addContainer(name, number) {
      containers.set(name, { low: FIRST_CONTAINER + number, snapshots: new Map() });
      names.set(FIRST_CONTAINER + number, name);
    },
    removeContainer(name) {
      const container = containers.get(name);
      if (container) names.delete(container.low);
      containers.delete(name);
    },
    addSnapshot(container, snapshot, high) {
      containers.get(container)?.snapshots.set(snapshot, high);
    },
    removeSnapshot: (container, snapshot) => void containers.get(container)?.snapshots.delete(snapshot),
    container: (name) => containers.get(name)?.low ?? 0,
    containerName: (low) => names.get(low),
    snapshot: (container, snapshot) => containers.get(container)?.snapshots.get(snapshot) ?? 0,
    containerNames: () => [...containers.keys()].sort(),
    snapshotNames: (container) => [...(containers.get(container)?.snapshots.keys() ?? [])].sort(),
  };
}
