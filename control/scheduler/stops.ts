// ④ Which containers end, and why: nobody needs them, they have been idle for long, memory is short, or another waits for their place. Part of decide().

import type { ContainerView, GroupView } from "./decide.ts";
import { createHeap } from "./heap.ts";
import type { Draft } from "./place.ts";
import type { NodePlace } from "./pool-index.ts";
import { hasRoom, isReserved, type Reserve, reserveOf, roomSomewhere } from "./room.ts";
import type { GroupTally } from "./tally.ts";

export interface Stop {
  container: ContainerView;
  reason: string;
}

const defaultIdleMs = 10 * 60_000;
const surplusStopMs = 10_000; // above the limit: left over from calls that waited for others

/** Of a node whose memory is short so much is freed that no more than this share is used. */
const relaxedShare = 0.85;
/** What a container is taken to free while it has not been measured. */
const unmeasuredBytes = 16 * 2 ** 20;

/** The tallies are counted down. */
export function stops(draft: Draft, withheld: ReadonlySet<ContainerView>): Stop[] {
  const { view, tallies, nowMs } = draft;
  const used = new Set(draft.taken);
  for (const { container } of draft.plan.dispatches) used.add(container);
  for (const { container } of draft.plan.loads) used.add(container);
  const list: Stop[] = [];
  const gone = new Set<ContainerView>();
  const stop = (container: ContainerView, own: GroupTally | undefined, reason: string): void => {
    if (own) own.count--;
    gone.add(container);
    list.push({ container, reason });
  };
  const mayEnd = (container: ContainerView): boolean =>
    container.state === "specialised" && container.inFlight === 0 && !used.has(container) && !gone.has(container);

  for (const container of withheld)
    if (mayEnd(container)) stop(container, tallies.get(container.group), "another waits for its place");
  for (const [key, { idle, parked }] of view.places) {
    const own = tallies.get(key);
    const { first } = idle;
    if (parked.size === 0 && (!first || (!used.has(first) && endOf(first, own, nowMs) === ""))) continue;
    for (const container of idle.oldest()) {
      if (!mayEnd(container)) continue;
      const reason = endOf(container, own, nowMs);
      if (reason === "") break; // those after it have been idle for less
      stop(container, own, reason);
    }
    for (const container of parked) {
      if (!mayEnd(container)) continue;
      const reason = endOf(container, own && { ...own, count: Number.POSITIVE_INFINITY, cap: Number.POSITIVE_INFINITY }, nowMs);
      if (reason !== "") stop(container, undefined, reason);
    }
  }
  evict({ draft, mayEnd, gone }, stop);
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
  draft: Draft;
  mayEnd(container: ContainerView): boolean;
  /** Those that end by this plan. */
  gone: ReadonlySet<ContainerView>;
}

type StopOne = (container: ContainerView, own: GroupTally, reason: string) => void;

/** For the sake of others: the longest idle first, never those that a function wants kept. */
function evict({ draft, mayEnd, gone }: Pressure, stop: StopOne): void {
  const { view, tallies } = draft;
  if (view.short.size === 0 && !waits(tallies.values())) return;
  const stopping = [...view.ending, ...gone]; // what they hold comes free without our doing
  const toFree = new Map([...view.short].map((place) => [place.node.name, lackingBytes(place, stopping)]));
  const places = [...tallies.values()].flatMap(placesOf).filter(({ group, reserve }) => {
    return isReserved(reserve) ? !roomSomewhere(view, group.imageKey, reserve) : view.tight.size > 0;
  });
  if (toFree.size === 0 && places.length === 0) return;
  for (const container of stopping) waitsFor(places, container, draft);
  for (const container of longestIdle(draft)) {
    const own = tallies.get(container.group)!;
    if (!mayEnd(container) || own.count <= own.keep) continue;
    const lacking = toFree.get(container.node) ?? 0;
    if (lacking > 0) {
      toFree.set(container.node, lacking - bytesOf(container));
      stop(container, own, "memory is short on its node");
    } else {
      const who = waitsFor(places, container, draft);
      if (who !== "") stop(container, own, `${who} waits for its place`);
    }
    if (![...toFree.values()].some((bytes) => bytes > 0) && !places.some(({ wanted }) => wanted > 0)) return;
  }
}

function waits(tallies: Iterable<GroupTally>): boolean {
  for (const { waiting, group } of tallies) if (waiting > 0 || group.shells > 0) return true;
  return false;
}

/** Idle containers of all groups, in the order of their idleness. */
function* longestIdle({ view, tallies }: Draft): Iterable<ContainerView> {
  interface Walk {
    at: ContainerView;
    rest: Iterator<ContainerView>;
  }
  const walks: Walk[] = [];
  for (const [key, { idle }] of view.places) {
    if (!tallies.has(key)) continue;
    const rest = idle.oldest()[Symbol.iterator]();
    const first = rest.next();
    if (!first.done) walks.push({ at: first.value, rest });
  }
  const heap = createHeap<Walk>((a, b) => a.at.idleSinceMs - b.at.idleSinceMs, walks);
  for (let walk = heap.peek(); walk; walk = heap.peek()) {
    yield walk.at;
    const next = walk.rest.next();
    if (next.done) heap.pop();
    else {
      walk.at = next.value;
      heap.sink();
    }
  }
}

/** Places that a group waits for. Calls take what their group has; a shell takes a container of its own. */
interface Places {
  group: GroupView;
  reserve: Reserve;
  wanted: number;
  forShells: boolean;
}

function placesOf({ group, waiting, cap, count, reserve }: GroupTally): Places[] {
  return [
    { group, reserve, wanted: Math.min(waiting, Math.max(0, cap - count)), forShells: false },
    { group, reserve, wanted: group.shells, forShells: true },
  ].filter(({ wanted }) => wanted > 0);
}

const bytesOf = (container: ContainerView): number => container.memoryBytes || unmeasuredBytes;

function lackingBytes({ node: { name, memoryBytes, memoryUsedBytes } }: NodePlace, stopping: ContainerView[]): number {
  const comes = stopping.reduce((sum, container) => sum + (container.node === name ? bytesOf(container) : 0), 0);
  return memoryUsedBytes - memoryBytes * relaxedShare - comes;
}

/** Who waits for the place that the container's end makes; then that place is spoken for. "" for nobody. */
function waitsFor(places: readonly Places[], container: ContainerView, { view, reserved }: Draft): string {
  const place = view.nodes.get(container.node);
  if (!place) return "";
  for (const wish of places) {
    const { group, reserve, wanted, forShells } = wish;
    if (wanted <= 0 || (!forShells && group.key === container.group) || !place.node.images.has(group.imageKey)) continue;
    const { cpu, memoryBytes, gpu } = reserveOf(container.classKey);
    const gives = (reserve.cpu > 0 && cpu > 0) || (reserve.memoryBytes > 0 && memoryBytes > 0);
    const full = gives && !hasRoom(place, reserve, reserved.get(place));
    const scarce = reserve.gpu ? gpu !== undefined : full || view.tight.has(place);
    if (!scarce) continue;
    wish.wanted--;
    return forShells ? "a shell" : "another app";
  }
  return "";
}
