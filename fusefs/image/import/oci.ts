// ⑤ What an image is made of, as registries and layout folders say it: index, manifest, config. Documents come from outside: each is checked.
// OCI image-spec 1.1, "Image Index", "Image Manifest", "Image Configuration"; Docker image manifest V2, schema 2.

import { HobError } from "../../../base/errors.ts";
import type { ImageConfig } from "../config.ts";

export interface Descriptor {
  mediaType: string;
  /** sha256, hex. */
  digest: string;
  size: number; // bytes
}

export interface Platform {
  os: string;
  architecture: string;
  variant: string; // "" none
}

export type IndexEntry = Descriptor & { platform: Platform | undefined; tag: string | undefined };

export type OciDocument =
  | { kind: "index"; manifests: IndexEntry[] }
  | { kind: "manifest"; config: Descriptor; layers: Descriptor[] };

const indexTypes = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const manifestTypes = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/** What hob asks a registry for. */
export const acceptedTypes = [...indexTypes, ...manifestTypes].join(", ");

/** Layers that are tars; by which compression, their first bytes say. */
const layerType =
  /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar)([.+](gzip|zstd))?$/;

/** Index and manifest documents are some kilobytes; configs of long histories some hundred. */
export const mostDocumentBytes = 8 << 20;

const corrupt = (what: string): HobError => new HobError("corrupt", what);

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

export function parseJson(bytes: Buffer, what: string): Json {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (isObject(value)) return value;
  } catch (error) {
    throw new HobError("corrupt", `${what} is no JSON`, { cause: error });
  }
  throw corrupt(`${what} is no JSON object`);
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

function descriptorOf(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw corrupt(`${what} is missing`);
  const digest = /^sha256:([0-9a-f]{64})$/.exec(textOf(value["digest"]))?.[1];
  if (!digest) throw corrupt(`${what} has the digest "${textOf(value["digest"])}", which is no sha256`);
  const { size } = value;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw corrupt(`${what} has an impossible size`);
  return { mediaType: textOf(value["mediaType"]), digest, size };
}

function platformOf(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  return { os: textOf(value["os"]), architecture: textOf(value["architecture"]), variant: textOf(value["variant"]) };
}

/** An index or a manifest. `mediaType`: what the registry or the descriptor calls it, "" where nobody does. */
export function parseDocument(bytes: Buffer, mediaType: string): OciDocument {
  const json = parseJson(bytes, "its manifest");
  const named = textOf(json["mediaType"]) || mediaType;
  if (json["schemaVersion"] === 1 || mediaType.includes("docker.distribution.manifest.v1")) {
    const remedy = "push it again with a docker of this decade, or copy it with skopeo copy --format oci";
    throw new HobError("precondition", "its manifest has the old schema 1, which hob does not read", { remedy });
  }
  const { manifests, layers } = json;
  if (indexTypes.includes(named) || (Array.isArray(manifests) && !manifestTypes.includes(named))) {
    if (!Array.isArray(manifests)) throw corrupt("its index lists no manifests");
    return {
      kind: "index",
      manifests: manifests.map((entry: unknown, index) => {
        const annotations = isObject(entry) && isObject(entry["annotations"]) ? entry["annotations"] : {};
        const tag = textOf(annotations["org.opencontainers.image.ref.name"]) || undefined;
        return {
          ...descriptorOf(entry, `manifest ${index + 1} of its index`),
          platform: platformOf((entry as Json)["platform"]),
          tag,
        };
      }),
    };
  }
  if (!Array.isArray(layers)) throw corrupt("its manifest lists no layers");
  return {
    kind: "manifest",
    config: descriptorOf(json["config"], "the config in its manifest"),
    layers: layers.map((layer: unknown, index) => {
      const descriptor = descriptorOf(layer, `layer ${index + 1}`);
      if (layerType.test(descriptor.mediaType)) return descriptor;
      throw new HobError(
        "precondition",
        `layer ${index + 1} has the media type "${descriptor.mediaType}", which hob does not read`,
        {
          remedy: "hob reads images of plain, gzip and zstd tars",
        },
      );
    }),
  };
}

/** The platform that this machine runs. */
export function ownPlatform(): Platform {
  const architectures: Record<string, Omit<Platform, "os">> = {
    x64: { architecture: "amd64", variant: "" },
    arm64: { architecture: "arm64", variant: "v8" },
    arm: { architecture: "arm", variant: "v7" },
    ia32: { architecture: "386", variant: "" },
  };
  return { os: "linux", ...(architectures[process.arch] ?? { architecture: process.arch, variant: "" }) };
}

const platformText = ({ os, architecture, variant }: Platform): string => [os, architecture, variant].filter(Boolean).join("/");

/** How well what is offered runs on what is wanted; 0: not at all. A variant that nobody names is the architecture's usual one. */
function suits(offered: Platform, wanted: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  if (offered.variant === wanted.variant) return 3;
  // amd64/v1 and arm64/v8 are what every machine of the kind runs.
  const usual = { amd64: "v1", arm64: "v8" }[wanted.architecture];
  if (offered.variant === "" || offered.variant === usual) return 2;
  // A newer variant's image may use instructions that this machine lacks; an older one's runs.
  const number = (variant: string) => Number(variant.replace(/^v/, "")) || 0;
  return wanted.architecture === "arm" && number(offered.variant) < number(wanted.variant) ? 1 : 0;
}

/** The entry for that platform. HobError `precondition` says which ones there are. */
export function choosePlatform<Entry extends { platform: Platform | undefined }>(
  entries: readonly Entry[],
  wanted: Platform,
): Entry {
  const ranked = entries
    .map((entry) => ({ entry, rank: entry.platform ? suits(entry.platform, wanted) : 0 }))
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => b.rank - a.rank);
  if (ranked[0]) return ranked[0].entry;
  if (entries.length === 1 && !entries[0]?.platform) return entries[0] as Entry; // its config will say
  const offered = entries.flatMap(({ platform }) => (platform && platform.os !== "unknown" ? [platformText(platform)] : []));
  throw wrongPlatform(offered, wanted);
}

function wrongPlatform(offered: readonly string[], wanted: Platform): HobError {
  const there = offered.length > 0 ? `there is ${[...new Set(offered)].join(", ")}` : "its index names none";
  return new HobError("precondition", `there is no image for ${platformText(wanted)}: ${there}`, {
    remedy: "name an image for this machine's platform",
  });
}

/** Env, WorkingDir and User of a config document, if it is for that platform and for so many layers. */
export function parseConfig(bytes: Buffer, wanted: Platform, layers: number): ImageConfig {
  const json = parseJson(bytes, "its config");
  const platform = platformOf(json);
  if (platform?.architecture && suits({ ...platform, os: platform.os || "linux" }, wanted) === 0) {
    throw wrongPlatform([platformText(platform)], wanted);
  }
  const rootfs = isObject(json["rootfs"]) ? json["rootfs"]["diff_ids"] : undefined;
  if (Array.isArray(rootfs) && rootfs.length !== layers)
    throw corrupt(`its config speaks of ${rootfs.length} layers, its manifest of ${layers}`);
  const config = isObject(json["config"]) ? json["config"] : {};
  const env: Record<string, string> = {};
  for (const pair of Array.isArray(config["Env"]) ? config["Env"] : []) {
    const cut = textOf(pair).indexOf("=");
    if (cut > 0 && !textOf(pair).includes("\0")) env[textOf(pair).slice(0, cut)] = textOf(pair).slice(cut + 1);
  }
  return { env, workdir: textOf(config["WorkingDir"]), user: textOf(config["User"]) };
}
