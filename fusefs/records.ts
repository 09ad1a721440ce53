// ⑤ What a FUSE daemon says of itself to the thread that outlives it, so that the next one can go on: connections, containers, bindings.

import type { HeldMount, Kept } from "./ipc.ts";
import type { FormerRoots } from "./worker-messages.ts";

/** The other side is holder.ts. Records are in its hands when these return, whatever happens to us then. */
export interface Keeper {
  /** Resolves once the mount's descriptors are held; with an obstacle, which says why they need not be, at once. */
  hold(mount: HeldMount, obstacle: string): Promise<void>;
  letGo(mount: number): void;
  keep(key: string, value: unknown): void;
  /** One record; all below it where the key ends with a slash. */
  forget(key: string): void;
}

/** Numbers that must never be given twice while the kernel may remember them. */
export interface Counters {
  mount: number;
  container: number;
  binding: number;
}

const separator = "/";

/** The records, each by the words that it is kept under. */
export const recordKeys = {
  counters: "counters",
  detached: (mount: number): string => `detached/${mount}`,
  /** Image of the folder of blobs → its binding. */
  image: (digest: string): string => `image/${digest}`,
  /** A mount of names, which the kernel serves by itself → its image. */
  named: (mountPoint: string): string => `named/${mountPoint}`,
  container: (name: string): string => `container/${name}`,
  /** All of a mount of snapshots. */
  ofSnapshots: ["container/", "snapshot/"],
  /** → binding, and whether it is shown. */
  snapshot: (of: string, name: string): string => `snapshot/${of}/${name}`,
};

/** The snapshots' containers, as one before us left them. */
interface FormerContainer {
  name: string;
  number: number;
  snapshots: { name: string; high: number; shown: boolean }[];
}

interface Former {
  counters: Counters;
  detached: ReadonlySet<number>;
  images: { digest: string; high: number }[];
  named: { mountPoint: string; image: string }[];
  containers: FormerContainer[];
}

/** The records read back. Pure. */
export function readRecords(records: readonly Kept[]): Former {
  const former = { detached: new Set<number>(), images: [], named: [], containers: [] } as Omit<Former, "counters"> & {
    detached: Set<number>;
  };
  let counters: Counters = { mount: 1, container: 0, binding: 1 };
  const containers = new Map<string, FormerContainer>();
  for (const [key, value] of records) {
    const cut = key.indexOf(separator);
    const [kind, rest] = cut < 0 ? [key, ""] : [key.slice(0, cut), key.slice(cut + 1)];
    if (kind === "counters") counters = value as Counters;
    else if (kind === "detached") former.detached.add(Number(rest));
    else if (kind === "image") former.images.push({ digest: rest, high: value as number });
    else if (kind === "named") former.named.push({ mountPoint: rest, image: value as string });
    else if (kind === "container") containers.set(rest, { name: rest, number: value as number, snapshots: [] });
    else {
      const [of = "", name = ""] = rest.split(separator);
      containers.get(of)?.snapshots.push({ name, ...(value as { high: number; shown: boolean }) });
    }
  }
  return { ...former, counters, containers: [...containers.values()] };
}

/** One of the snapshots mount. */
export interface Container {
  number: number;
  snapshots: Map<string, number>; // name → binding
  /** Of removed ones too: the kernel may remember names for ever, and a snapshot that comes back must be what it remembers. */
  bindings: Map<string, number>;
}

export const containersOf = ({ containers }: Former): Map<string, Container> =>
  new Map(
    containers.map(({ name, number, snapshots }) => {
      const bindings = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot.high]));
      const shown = new Map(snapshots.filter((snapshot) => snapshot.shown).map((snapshot) => [snapshot.name, snapshot.high]));
      return [name, { number, snapshots: shown, bindings }];
    }),
  );

export const rootsOf = ({ containers }: Former): FormerRoots => ({
  containers,
  snapshots: containers.flatMap(({ name: container, snapshots }) =>
    snapshots.filter(({ shown }) => shown).map(({ name: snapshot, high }) => ({ container, snapshot, high })),
  ),
});
