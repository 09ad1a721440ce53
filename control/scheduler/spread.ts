// ④ On which nodes containers of a kind wait or are made: a few that its name chooses, and for what is wanted now those with its image and with most room. Pure.

import type { NodePlace, PoolView } from "./pool-index.ts";
import type { Kind, Need } from "./pools.ts";
import { devicesFor, isReserved, slotsOn } from "./room.ts";

/** A kind that only some functions ask for stands ready on so many nodes, on more as more are taken; the standard ones on each. */
const homes = 4;
/** Nodes looked at for what one kind wants now. */
const mostLooked = 256;

/** The nodes of the ring on which a kind stands ready, from a place of its own on: so kinds are spread, and stay where they are. */
interface Window {
  from: number;
  size: number;
  /** Containers taken lately, on each of them. */
  level: number;
}

export function windowOf({ ring }: PoolView, { of: { kind, imageKey, reserve }, level }: Need): Window {
  if (ring.length <= homes) {
    let able = 0;
    for (const { node } of ring) if (node.images.has(imageKey)) able++;
    return { from: 0, size: ring.length, level: level / Math.max(1, able) };
  }
  const size = reserve.gpu ? ring.length : Math.min(ring.length, Math.max(homes, level));
  return { from: startOf(kind, ring.length), size, level: level / size };
}

/** The same for the same text: its hash (FNV-1a) as a share of the ring. */
function startOf(text: string, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return Math.floor((hash / 2 ** 32) * length);
}

interface Candidate {
  place: NodePlace;
  /** 2: all of the image is there, 1: most of it. */
  local: number;
  load: number;
  /** Containers that it should have at most for this. */
  slots: number;
}

/** Distributes what is wanted now: nodes with the image before those without, of equals the least loaded, one each in turn while they have room. */
export function spread({ ring }: PoolView, need: Need): Map<NodePlace, number> {
  const given = new Map<NodePlace, number>();
  const from = startOf(need.of.kind, ring.length);
  const candidates: Candidate[] = [];
  for (let i = 0; i < ring.length && candidates.length < Math.min(4 * need.more + 2 * homes, mostLooked); i++) {
    const place = ring[(from + i) % ring.length]!;
    const candidate = candidateOf(place, need.of);
    if (candidate) candidates.push(candidate);
  }
  candidates.sort((a, b) => b.local - a.local || a.load - b.load);
  let left = need.more;
  const give = (place: NodePlace, count: number): void => {
    given.set(place, (given.get(place) ?? 0) + count);
    left -= count;
  };
  for (const local of [2, 1, 0]) {
    let hungry = candidates.filter((candidate) => candidate.local === local);
    while (left > 0 && hungry.length > 0) {
      for (const { place } of hungry.slice(0, left)) give(place, 1);
      hungry = hungry.filter((candidate) => --candidate.slots > 0);
    }
  }
  // Where nothing is promised there is always room for one more: its node's processors are shared.
  if (left <= 0 || candidates.length === 0 || isReserved(need.of.reserve)) return given;
  const each = Math.ceil(left / candidates.length);
  for (const { place } of candidates) if (left > 0) give(place, Math.min(each, left));
  return given;
}

function candidateOf(place: NodePlace, { imageKey, reserve }: Kind): Candidate | undefined {
  const { node } = place;
  const image = node.images.get(imageKey);
  if (image === undefined || (reserve.gpu && devicesFor(place, reserve.gpu) < reserve.gpu.count)) return undefined;
  const slots = Math.min(slotsOn(place, reserve), Math.max(1, 2 * node.cores - place.count));
  if (slots <= 0) return undefined;
  return {
    place,
    local: Math.floor(node.localShare(image) * 2),
    load: (place.cpu + place.count) / Math.max(1, node.cores),
    slots,
  };
}
