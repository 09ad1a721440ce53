// ④ Images that no container can run a function in: without its language, or of a user that they do not know. Pure.

interface UnfitNode {
  /** By key: its digest there. */
  readonly images: ReadonlyMap<string, string>;
  /** By "DIGEST LANGUAGE": why not. */
  readonly unfit: ReadonlyMap<string, string>;
}

/** Why no node that has the image can ever run that language in it; undefined where one may. */
export function unfit(imageKey: string, language: string, nodes: Iterable<UnfitNode>): string | undefined {
  let why: string | undefined;
  for (const node of nodes) {
    const digest = node.images.get(imageKey);
    if (digest === undefined) continue;
    why = node.unfit.get(`${digest} ${language}`);
    if (why === undefined) return undefined;
  }
  return why;
}
