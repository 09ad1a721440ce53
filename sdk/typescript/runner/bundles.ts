// ⑥ Bundles that the runner keeps, for processes that have to be started again.

/** The oldest go first. */
const keptBytes = 64 << 20;

export interface Bundles {
  has(digest: string): boolean;
  get(digest: string): Buffer | undefined;
  keep(digest: string, data: Buffer): void;
}

export function createBundles(): Bundles {
  const bundles = new Map<string, Buffer>(); // oldest first
  let bytes = 0;
  return {
    has: (digest) => bundles.has(digest),
    get: (digest) => bundles.get(digest),
    keep(digest, data) {
      bytes += data.byteLength - (bundles.get(digest)?.byteLength ?? 0);
      bundles.delete(digest);
      bundles.set(digest, data);
      for (const [oldest, { byteLength }] of bundles) {
        if (bytes <= keptBytes || oldest === digest) return;
        bundles.delete(oldest);
        bytes -= byteLength;
      }
    },
  };
}
