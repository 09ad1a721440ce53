// ④ How many containers a deployment has before callers come: as many as its predecessor is using, so that the switch is no cold start under load.

import type { Version } from "../../proto/gen/hob/v1/common.ts";
import type { Work } from "../maps/map.ts";
import type { Container, Nodes } from "../nodes.ts";
import type { Registry } from "../registry.ts";
import { defaultCap } from "../scheduler/decide.ts";
import type { Groups } from "../scheduler/groups.ts";

/** A container that has run nothing for so long is not missed at the switch. */
const usedMs = 10_000;
const mostContainers = 32;

export interface Warmth {
  /** Wants as many containers of each of the new versions as the former ones, of the app `before`, are using now. */
  raise(app: string, versions: readonly Version[], before: string): void;
  /** Containers that are wanted and have not the app's newest code yet. */
  lacking(app: string): number;
  /** From now on as many as its functions say themselves. */
  lower(app: string): void;
}

interface WarmthParts {
  groups: Groups<Work>;
  nodes: Pick<Nodes, "containers" | "indexed">;
  registry: Pick<Registry, "current">;
  now(): number;
}

export function createWarmth({ groups, nodes, registry, now }: WarmthParts): Warmth {
  const ofGroup = (key: string): Container[] =>
    nodes.containers().filter(({ group, state }) => group === key && state === "specialised");

  return {
    raise(app, versions, before) {
      const formers = new Map(registry.current(before).map((version) => [version.function, version]));
      for (const version of versions) {
        const former = formers.get(version.function); // in another group, where its image or its class has changed
        if (!former) continue;
        const used = ofGroup(groups.of(before, former).key).filter(
          ({ inFlight, idleSinceMs }) => inFlight > 0 || now() - idleSinceMs < usedMs,
        );
        const group = groups.of(app, version);
        const cap = group.maxContainers || defaultCap(nodes.indexed().cores); // beyond it the scheduler keeps none
        group.minContainers = Math.max(group.minContainers, Math.min(used.length, cap, mostContainers));
      }
    },
    lacking(app) {
      let lacking = 0;
      for (const { key, app: owner, minContainers, newest } of groups.all.values()) {
        if (owner !== app) continue;
        const ready = ofGroup(key).filter(({ loaded }) => loaded.has(newest));
        lacking += Math.max(0, minContainers - ready.length);
      }
      return lacking;
    },
    lower: (app) => groups.update(app, registry.current(app), []),
  };
}
