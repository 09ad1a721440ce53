// ④ Image.host() in deployments: the image that control's own machine has when something is promoted is what it has from then on, by its digest.

import type { Digest } from "../../base/content-folder.ts";
import type { Version } from "../../proto/gen/hob/v1/common.ts";
import { hostImageKey, hostImageRef, imageKey } from "../../proto/image.ts";
import type { Nodes } from "../nodes.ts";
import type { DeploymentRecords } from "./records.ts";

export interface Pins {
  /** The same versions, those of Image.host() by the digest of what that is now, and those by a digest that is gone, too. */
  pinned(versions: readonly Version[]): Version[];
}

interface PinsParts {
  nodes: Pick<Nodes, "all" | "grant">;
  deployments: Pick<DeploymentRecords, "apps" | "of">;
  /** Control's own store, from which every node can have it. */
  blobs: { has(digest: Digest): boolean };
}

const isHost = ({ spec }: Version): boolean => {
  const { source, steps } = spec?.image ?? hostImageRef;
  return source === "host" && steps.length === 0;
};

/** Of Image.host(), by their digests: what deployments that are kept stand upon. */
export const pinnedImages = (deployments: PinsParts["deployments"]): Digest[] =>
  deployments
    .apps()
    .flatMap((app) =>
      deployments
        .of(app)
        .kept.flatMap(({ functions }) =>
          functions.flatMap(({ version }) => (version && isHost(version) && version.spec?.image?.digest) || []),
        ),
    );

export function createPins({ nodes, deployments, blobs }: PinsParts): Pins {
  /** Of the nodes' own images one that control has; "" in a pool where all of them are elsewhere. */
  function hostImage(): Digest {
    for (const node of nodes.all.values()) {
      const digest = node.images.get(hostImageKey);
      if (digest && blobs.has(digest)) return digest;
    }
    return "";
  }

  for (const digest of new Set(pinnedImages(deployments))) if (blobs.has(digest)) nodes.grant(digest, digest);

  return {
    pinned(versions) {
      const digest = hostImage();
      return versions.map((version) => {
        const key = imageKey(version.spec?.image ?? hostImageRef);
        if (!isHost(version) || digest === "" || (key !== hostImageKey && blobs.has(key))) return version;
        nodes.grant(digest, digest);
        return { ...version, spec: { ...version.spec!, image: { ...hostImageRef, digest } } };
      });
    },
  };
}
