// ④⑤ Who else has a blob: nodes that control has sent it to lately, or that hold its image whole. So ten nodes take about one copy from control.

import { pieceBytesOf } from "../base/partial-blob.ts";
import { isNetwork } from "../proto/address.ts";
import type { FetchElsewhere, FetchWant } from "../proto/gen/hob/v1/content.ts";
import { peerTicket } from "../proto/peer-ticket.ts";

/** What a node keeps at least, as far as control goes: it may have let go of anything older. */
const rememberedMs = 10 * 60_000;
const rememberedContents = 200_000;
/** Asking elsewhere costs two more messages: not for what is no larger than they are. */
const leastBytes = 2 << 10;
/** To so many others a holder gives before the next holder does. */
const fewChildren = 3;

export interface SpreadNode {
  readonly name: string;
  /** Where other nodes fetch from it; "" for nowhere. */
  readonly peerAddress: string;
  /** Of which the tickets for its contents are made; known to it and to control. */
  readonly peerKey: string;
  /** It holds all contents of that image. */
  whole(image: string): boolean;
}

export interface Spread {
  /**
   * Where `node` should fetch this instead; undefined: from control, and from then on others from `node`. Each asker becomes a holder
   * and gives to some others, so a content spreads like a tree.
   */
  elsewhere(node: string, want: FetchWant, bytes: number): FetchElsewhere | undefined;
}

interface Holder {
  /** Whom it was sent to; "": to control. What it asks for next of the same content comes from there too. */
  parent: string;
  /** How many were sent to it. */
  children: number;
}

interface Holders {
  atMs: number;
  /** By node, the first asker first. */
  readonly nodes: Map<string, Holder>;
}

export function createSpread(
  nodes: { get(name: string): SpreadNode | undefined; all(): Iterable<SpreadNode> },
  now: () => number,
): Spread {
  const contents = new Map<string, Holders>(); // oldest first

  function holdersOf(key: string): Holders {
    const known = contents.get(key);
    const nowMs = now();
    const holders = known && nowMs - known.atMs < rememberedMs ? known : { atMs: nowMs, nodes: new Map<string, Holder>() };
    contents.delete(key);
    contents.set(key, holders);
    if (contents.size > rememberedContents) contents.delete(contents.keys().next().value as string);
    return holders;
  }

  return {
    elsewhere(name, want, bytes) {
      const asker = nodes.get(name);
      if (want.image === "" || !asker?.peerAddress || (want.length || bytes) < leastBytes) return undefined;
      const holders = holdersOf(`${want.digest}:${Math.floor(want.offset / pieceBytesOf(bytes))}`).nodes;
      const reaches = (node: SpreadNode | undefined): boolean =>
        !!node?.peerAddress && isNetwork(node.peerAddress) === isNetwork(asker.peerAddress);
      for (const node of nodes.all()) {
        if (node.peerAddress && node.whole(want.image) && !holders.has(node.name))
          holders.set(node.name, { parent: "", children: 0 });
      }
      let self = holders.get(name);
      if (!self) {
        const parent = want.direct ? "" : chooseParent([...holders].filter(([holder]) => reaches(nodes.get(holder))));
        self = { parent, children: 0 };
        holders.set(name, self);
        const chosen = holders.get(parent);
        if (chosen) chosen.children++;
      }
      if (want.direct) self.parent = "";
      const best = nodes.get(self.parent);
      if (!best || !reaches(best)) return undefined;
      return { node: best.name, address: best.peerAddress, ticket: peerTicket(best.peerKey, want.image) };
    },
  };
}

function chooseParent(holders: [string, Holder][]): string {
  const [least] = [...holders].sort(([, one], [, other]) => one.children - other.children);
  return (holders.find(([, { children }]) => children < fewChildren) ?? least)?.[0] ?? "";
}
