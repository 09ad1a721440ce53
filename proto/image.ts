// ②④⑤ What an image is called before it is built: a key, which is the digest of its definition, and words for people.

import { createHash } from "node:crypto";
import type { ImageRef, ImageStep } from "./gen/hob/v1/common.ts";

/** The image that each node makes of its own runtimes. */
export const hostImageRef: ImageRef = { source: "host", digest: "", reference: "", steps: [] };

/** The key of the image that each node makes of its own runtimes: not the same image on each. */
export const hostImageKey = "source:host";

/** Of manifests: what was built in an older one is built anew. */
const format = 2;

const keys = new WeakMap<ImageRef, string>();

/**
 * The key of what the first `steps` steps of an image leave: the same for the same definition, files that it copies included, whoever
 * defines it. An image that is named by its digest has that as its key. An object whose key has been asked for stays as it is.
 */
export function imageKey(image: ImageRef, steps: number = image.steps.length): string {
  if (image.digest) return image.digest;
  if (steps === 0 && image.source === "host") return hostImageKey;
  if (steps < image.steps.length) return digestOf(image, steps);
  const key = keys.get(image) ?? digestOf(image, steps);
  keys.set(image, key);
  return key;
}

function digestOf(image: ImageRef, steps: number): string {
  const files = ({ files }: ImageStep) => files.map(({ path, digest, mode }) => [path, digest, mode]);
  const definition = image.steps.slice(0, steps).map((step) => [step.kind, step.arguments, files(step)]);
  return `spec:${createHash("sha256")
    .update(JSON.stringify([format, image.source, image.reference, definition]))
    .digest("hex")}`;
}

/** "debian bookworm", "oci HOST/NAME:TAG", "host". */
export const imageLabel = ({ source, reference }: ImageRef): string => (reference ? `${source} ${reference}` : source);

/** A step as its author wrote it, more or less: "apt_install python3-numpy", "run make". */
export function stepLabel({ kind, arguments: words, files }: ImageStep): string {
  if (kind === "copy") {
    const count = files.length === 0 ? "" : `${files.length} ${files.length === 1 ? "file" : "files"} `; // told to many without them
    return `copy ${count}to ${words[0] ?? ""}`;
  }
  const installs = kind === "apt" || kind === "pip" || kind === "npm";
  return `${kind}${installs ? "_install" : ""} ${words.join(kind === "env" ? "=" : " ")}`;
}

/** "step 2 of 3 apt_install python3-numpy", "base debian bookworm": what a build is at. */
export function buildPlace(image: ImageRef | undefined, step: number): string {
  const doing = image?.steps[step - 1];
  if (!image || !doing) return `base ${image ? imageLabel(image) : ""}`;
  return `step ${step} of ${image.steps.length} ${stepLabel(doing)}`;
}
