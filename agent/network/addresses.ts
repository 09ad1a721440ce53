// ⑤ Which addresses and interface names belong to a pool's containers. Pure.

// RFC 2544's range for benchmarks: private in effect, and on nobody's network.
const first = (198 << 24) | (18 << 16);
const regions = 64;
const regionSize = 2048; // a /21: the resolver's address and a lease for each slot
const prefixLength = 21;

export interface Region {
  /** "198.18.8.0/21" */
  range: string;
  /** The node's end of every container's link: its gateway, where the resolver listens. */
  resolver: string;
  lease(index: number): string;
}

const textOf = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");

/** Every region, the one that this pool would rather have first; none whose resolver's address somebody has (`taken`). */
export function regionsOf(key: string, taken: ReadonlySet<string> = new Set()): Region[] {
  const start = Number.parseInt(key.slice(0, 8), 16) % regions || 0;
  const all = Array.from({ length: regions }, (_, step) => regionAt(first + ((start + step) % regions) * regionSize));
  return all.filter(({ resolver }) => !taken.has(resolver));
}

const regionAt = (base: number): Region => ({
  range: `${textOf(base)}/${prefixLength}`,
  resolver: textOf(base + 1),
  lease: (index) => textOf(base + 2 + index),
});

/** At most 15 bytes (IFNAMSIZ). */
export const linkPrefix = (key: string): string => `h${key.slice(0, 8)}`;
export const linkName = (key: string, index: number): string => linkPrefix(key) + index.toString(16);
