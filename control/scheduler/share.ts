// ④ Whose containers take no more of a batch, because another waits for room: a person at once, a batch when its app has less than its share. Pure.

import { type ContainerView, personLanes } from "./decide.ts";
import { type Draft, keepOf } from "./place.ts";
import type { NodePlace, PoolView } from "./pool-index.ts";
import { kindKey } from "./pools.ts";
import { devicesFor, hasRoom, isReserved, type Reserve, reserveOf, roomSomewhere } from "./room.ts";
import type { GroupTally } from "./tally.ts";

/** A batch of which nothing has run for so long gets a place, whatever the shares: where there are fewer places than apps, they take turns. */
const starvedMs = 2_000;
const mostClaims = 16; // heard in one decision
const mostLooked = 512; // containers looked at for one of them
const roundingError = 1e-9;

/** What of the pool's cores, memory and devices, the largest of the three. */
function shareOf({ cpu, memoryBytes, gpu }: Reserve, whole: Whole): number {
  return Math.max(cpu / whole.cores, memoryBytes / whole.memoryBytes, gpu ? gpu.count / whole.gpus : 0);
}

interface Whole {
  cores: number;
  memoryBytes: number;
  gpus: number;
}

function wholeOf({ ring, cores }: PoolView): Whole {
  const whole = { cores: Math.max(1, cores), memoryBytes: 0, gpus: 0 };
  for (const { node } of ring) {
    whole.memoryBytes += node.memoryBytes || Number.POSITIVE_INFINITY;
    whole.gpus += node.info.gpus.length;
  }
  return { ...whole, memoryBytes: Math.max(1, whole.memoryBytes), gpus: Math.max(1, whole.gpus) };
}

const personWaits = ({ group }: GroupTally, draft: Draft): boolean =>
  draft.full.has(draft.tallies.get(group.key)!) && group.lanes.slice(0, personLanes).some(({ size }) => size > 0);

interface Claim {
  own: GroupTally;
  person: boolean;
}

/** Groups that wait, may have one more, and for which no node has room nor soon will. */
function claimsOf(draft: Draft): Claim[] {
  const claims: Claim[] = [];
  const rooms = new Map<string, boolean>(); // by kind
  for (const own of draft.tallies.values()) {
    const { group, reserve, waiting, count, cap, personsCap } = own;
    if (waiting === 0 || !isReserved(reserve)) continue;
    const person = personWaits(own, draft);
    if (count >= (person ? personsCap : cap)) continue;
    if (!person && own.want <= count) continue;
    const kind = kindKey(group.imageKey, group.classKey);
    const room = rooms.get(kind) ?? roomSomewhere(draft.view, group.imageKey, reserve);
    rooms.set(kind, room);
    if (room) continue;
    claims.push({ own, person });
  }
  const order = (a: Claim, b: Claim): number =>
    Number(b.person) - Number(a.person) || a.own.count - b.own.count || (a.own.group.key < b.own.group.key ? -1 : 1);
  return claims.sort(order).slice(0, mostClaims);
}

/** Says which; they end once they are idle. */
export function withhold(draft: Draft): Set<ContainerView> {
  const withheld = new Set<ContainerView>();
  const claims = claimsOf(draft);
  if (claims.length > 0) {
    const whole = wholeOf(draft.view);
    const shares = new Map<string, number>(); // of apps
    for (const { group, reserve, count } of draft.tallies.values()) {
      shares.set(group.app, (shares.get(group.app) ?? 0) + count * shareOf(reserve, whole));
    }
    for (const claim of claims)
      for (const container of placeFor(claim, { draft, whole, shares, withheld })) withheld.add(container);
  }
  draft.withheld = withheld;
  return withheld;
}

interface Hearing {
  draft: Draft;
  whole: Whole;
  shares: Map<string, number>;
  withheld: ReadonlySet<ContainerView>;
}

/** The containers of one node that make room for it; none where that cannot be. The richest app's first, of those the ones with the fewest calls. */
function placeFor(claim: Claim, hearing: Hearing): ContainerView[] {
  const { draft, withheld } = hearing;
  const rich = [...draft.tallies.values()]
    .map((own) => ({ own, spare: spareOf(own, claim, hearing), share: hearing.shares.get(own.group.app) ?? 0 }))
    .filter(({ spare }) => spare > 0)
    .sort((a, b) => b.share - a.share || (a.own.group.key < b.own.group.key ? -1 : 1));
  const onNodes = new Map<string, ContainerView[]>();
  let looked = 0;
  for (const { own, spare } of rich) {
    const candidates = [...(own.places?.all ?? [])].filter(
      (container) => !withheld.has(container) && container.state === "specialised",
    );
    candidates.sort((a, b) => a.inFlight - b.inFlight);
    for (const container of candidates.slice(0, Math.min(spare, mostLooked))) {
      if (looked++ === mostLooked) return [];
      const leaving = onNodes.get(container.node) ?? [];
      leaving.push(container);
      onNodes.set(container.node, leaving);
      if (suffices(draft.view.nodes.get(container.node)!, claim.own, leaving)) return leaving;
    }
  }
  return [];
}

/** How many containers of `own` may go for the claim. */
function spareOf(own: GroupTally, { own: claimant, person }: Claim, { draft, whole, shares, withheld }: Hearing): number {
  if (own === claimant || own.count === 0 || !isReserved(own.reserve) || personWaits(own, draft)) return 0;
  let count = own.count - own.taken.length;
  for (const container of withheld) if (container.group === own.group.key) count--;
  const spare = count - keepOf(own);
  if (person || spare <= 0) return Math.max(0, spare);
  const { waitingSinceMs } = claimant.group;
  if (claimant.count === 0 && waitingSinceMs > 0 && draft.nowMs - waitingSinceMs >= starvedMs) return spare;
  const [theirs, ours] = [shareOf(own.reserve, whole), shareOf(claimant.reserve, whole)];
  const same = own.group.app === claimant.group.app;
  const has = same ? count * theirs : (shares.get(own.group.app) ?? 0);
  const lacks = same ? claimant.count * ours : (shares.get(claimant.group.app) ?? 0);
  const surplus = has - lacks - ours; // so that the two do not change places for ever
  return Math.min(spare, Math.floor(surplus / theirs + roundingError));
}

function suffices(place: NodePlace, { group, reserve }: GroupTally, leaving: readonly ContainerView[]): boolean {
  if (place.position < 0 || !place.node.images.has(group.imageKey)) return false;
  const free = { cpu: -place.ending.cpu, memoryBytes: -place.ending.memoryBytes };
  for (const { classKey } of leaving) {
    free.cpu -= reserveOf(classKey).cpu;
    free.memoryBytes -= reserveOf(classKey).memoryBytes;
  }
  if (reserve.gpu && devicesFor(place, reserve.gpu, new Set(leaving)) < reserve.gpu.count) return false;
  return hasRoom(place, reserve, free);
}
