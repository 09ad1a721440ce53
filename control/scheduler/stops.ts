// ④ Which containers end, and why: nobody needs them, they have been idle for long, memory is short, or another app waits. Pure.

import type { ContainerView, GroupTally, GroupView, NodeView, PoolState } from "./decide.ts";
import { classOfKey } from "./pools.ts";

export interface Stop {
  container: ContainerView;
  reason: string;
}

const defaultIdleMs = 10 * 60_000;
const surplusStopMs = 10_000; // above the limit: left over from calls that waited for others

// Shares of a node's memory. Above `short` idle containers end until `relaxed` is reached; above `tight` they make room for who waits.
const [relaxed, tight, short] = [0.85, 0.8, 0.92];
/** What a container is taken to free while it has not been measured. */
const unmeasuredBytes = 16 * 2 ** 20;

/** `used`: containers that this plan gives something to. The tallies are counted down. */
export function stops(
  state: PoolState,
  tallies: ReadonlyMap<string, GroupTally>,
  used: ReadonlySet<ContainerView>,
  nowMs: number,
): Stop[] {
  const list: Stop[] = [];
  const idle = state.containers
    .filter((container) => container.state === "specialised" && container.inFlight === 0 && !used.has(container))
    .sort((a, b) => a.idleSinceMs - b.idleSinceMs);
  const stop = (container: ContainerView, reason: string): void => {
    const own = tallies.get(container.group);
    if (own) own.count--;
    list.push({ container, reason });
  };
  const left = idle.filter((container) => {
    const reason = endOf(container, tallies.get(container.group), nowMs);
    if (reason) stop(container, reason);
    return !reason;
  });
  const stopping = [
    ...state.containers.filter((container) => container.state === "stopping"),
    ...list.map((one) => one.container),
  ];
  evict(left, { state, tallies, stopping }, stop);
  return list;
}

/** Why a container should end for its own sake; "" when it should not. */
function endOf(container: ContainerView, own: GroupTally | undefined, nowMs: number): string {
  const idleMs = nowMs - container.idleSinceMs;
  if (!own || (own.group.newest === "" && own.waiting === 0)) return "no function needs it any more";
  if (own.count > own.cap && idleMs >= surplusStopMs) return "more than the limit of containers";
  return own.count > own.keep && idleMs >= (own.group.idleTimeoutMs || defaultIdleMs) ? "idle" : "";
}

interface Pressure {
  state: PoolState;
  tallies: ReadonlyMap<string, GroupTally>;
  /** What they hold comes free without our doing. */
  stopping: ContainerView[];
}

/** For the sake of others: the longest idle first, never those that a function wants kept. */
function evict(idle: ContainerView[], pressure: Pressure, stop: (container: ContainerView, reason: string) => void): void {
  const toFree = new Map(pressure.state.nodes.map((node) => [node.name, lackingBytes(node, pressure.stopping)]));
  const places = [...pressure.tallies.values()].flatMap(placesOf);
  for (const container of pressure.stopping) waitsFor(places, container, pressure.state.nodes);
  for (const container of idle) {
    const own = pressure.tallies.get(container.group);
    if (!own || own.count <= own.keep) continue;
    const lacking = toFree.get(container.node) ?? 0;
    if (lacking > 0) {
      toFree.set(container.node, lacking - bytesOf(container));
      stop(container, "memory is short on its node");
    } else {
      const who = waitsFor(places, container, pressure.state.nodes);
      if (who !== "") stop(container, `${who} waits for its place`);
    }
  }
}

/** Places that a group waits for. Calls take what their group has; a shell takes a container of its own. */
interface Places {
  group: GroupView;
  wanted: number;
  forShells: boolean;
}

function placesOf({ group, waiting, cap, count }: GroupTally): Places[] {
  return [
    { group, wanted: Math.min(waiting, Math.max(0, cap - count)), forShells: false },
    { group, wanted: group.shells, forShells: true },
  ].filter(({ wanted }) => wanted > 0);
}

const bytesOf = (container: ContainerView): number => container.memoryBytes || unmeasuredBytes;

function lackingBytes({ name, memoryBytes, memoryUsedBytes }: NodeView, stopping: ContainerView[]): number {
  if (memoryUsedBytes <= memoryBytes * short) return 0;
  const comes = stopping.reduce((sum, container) => sum + (container.node === name ? bytesOf(container) : 0), 0);
  return memoryUsedBytes - memoryBytes * relaxed - comes;
}

/** Who waits for the place that the container's end makes; then that place is spoken for. "" for nobody. */
function waitsFor(places: readonly Places[], container: ContainerView, nodes: readonly NodeView[]): string {
  const node = nodes.find(({ name }) => name === container.node);
  if (!node) return "";
  for (const place of places) {
    const { group, wanted, forShells } = place;
    if (wanted <= 0 || (!forShells && group.key === container.group) || !node.images.has(group.imageKey)) continue;
    const wantsGpu = classOfKey(group.classKey).gpu !== "";
    const scarce = wantsGpu ? classOfKey(container.classKey).gpu !== "" : node.memoryUsedBytes > node.memoryBytes * tight;
    if (!scarce) continue;
    place.wanted--;
    return forShells ? "a shell" : "another app";
  }
  return "";
}
