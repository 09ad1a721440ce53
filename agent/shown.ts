// ⑤⑥ What the FUSE daemon has been told: the snapshots that it shows in containers, each as a difference to one that it knows.

import { sentenceOf } from "../base/errors.ts";
import type { SnapshotDelta } from "../proto/gen/hob/v1/common.ts";
import type { Container } from "./container/container.ts";
import type { DispatchHost } from "./dispatch.ts";
import { differenceFor, type FileList, type SnapshotDifference } from "./snapshots.ts";

/** Of more the daemon is told the whole list: it forgets what nobody shows any more, too. */
const mountedKept = 64;

export interface Shown {
  show(container: Pick<Container, "id">, delta: SnapshotDelta, files: FileList): void;
  /** The FUSE daemon is a new one and knows no snapshot. */
  forget(): void;
}

export function createShown(host: Pick<DispatchHost, "fuse" | "log">): Shown {
  const mounted = new Set<string>(); // snapshots that the daemon knows

  /** Tells the FUSE daemon; where it has forgotten the base meanwhile, the whole list. Nobody waits here: a lookup waits there. */
  function show(container: Pick<Container, "id">, delta: SnapshotDelta, files: FileList): void {
    const fuse = host.fuse();
    const add = ({ base, changed, removed }: SnapshotDifference): Promise<void> =>
      fuse.addSnapshot(container.id, delta.digest, base, changed, removed);
    const seen = differenceFor((snapshot) => mounted.has(snapshot), delta, files);
    mounted.delete(delta.digest); // so that the newest is last
    mounted.add(delta.digest);
    if (mounted.size > mountedKept) mounted.delete(mounted.values().next().value as string);
    add(seen)
      .catch((error) => {
        if (seen.base === "") throw error;
        return add(differenceFor(() => false, delta, files));
      })
      .catch((error) => {
        mounted.delete(delta.digest);
        host.log.error({ container: container.id, snapshot: delta.digest, error: sentenceOf(error) }, "adding a snapshot");
      });
  }

  return { show, forget: () => mounted.clear() };
}
