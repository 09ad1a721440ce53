// ⑥ Loads that several processes share: each is answered when the last of them has answered.

import type { Failure, Heads } from "./frames.ts";

interface Loading {
  parts: number;
  patched: number;
  reason: string;
  failure: Failure | undefined;
}

export interface Loadings {
  open(load: number): Loading;
  get(load: number): Loading | undefined;
  partDone(load: number, failure: Failure | undefined): void;
}

export function createLoadings(answer: (head: Heads["loaded"]) => void): Loadings {
  const loadings = new Map<number, Loading>();
  return {
    open(load) {
      const loading: Loading = { parts: 0, patched: 0, reason: "", failure: undefined };
      loadings.set(load, loading);
      return loading;
    },
    get: (load) => loadings.get(load),
    partDone(load, failure) {
      const loading = loadings.get(load);
      if (!loading) return;
      loading.failure ??= failure;
      loading.parts--;
      if (loading.parts > 0) return;
      loadings.delete(load);
      const how = loading.patched > 0 && !loading.reason ? { tier: "patch" as const } : { tier: "fork" as const };
      const reason = loading.reason ? { reason: loading.reason } : {};
      answer({ load, ...how, ...reason, ...(loading.failure && { failure: loading.failure }) });
    },
  };
}
