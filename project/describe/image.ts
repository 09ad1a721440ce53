// ② What the SDKs say of an image, made whole with the files that it copies; and what differs between two, in words.

import { HobError } from "../../base/errors.ts";
import type { FileEntry, ImageRef, ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { hostImageRef, imageKey, imageLabel, stepLabel } from "../../proto/image.ts";
import type { Snapshot } from "../snapshot.ts";

/** What `Image.definition` of the SDKs holds. */
export interface EvaluatedImage {
  source: string;
  reference?: string;
  steps?: { kind: string; arguments: string[]; source?: string }[];
}

/** Functions that share an image share its object, for as long as its files are the same: it may name thousands. */
const made = new Map<string, { snapshot: string; image: ImageRef }>();
const mostMade = 200;

/** Throws a HobError when the project has nothing to copy under a name. */
export function imageOf(said: EvaluatedImage | undefined, snapshot: Snapshot): ImageRef {
  if (!said || (said.source === "host" && !said.steps?.length)) return hostImageRef;
  const text = JSON.stringify(said);
  const known = made.get(text);
  if (known?.snapshot === snapshot.digest) return known.image;
  const fresh = complete(said, snapshot);
  const image = known && imageKey(known.image) === imageKey(fresh) ? known.image : fresh;
  made.delete(text); // so that the latest used is last
  made.set(text, { snapshot: snapshot.digest, image });
  if (made.size > mostMade) made.delete(made.keys().next().value as string);
  return image;
}

function complete({ source, reference = "", steps = [] }: EvaluatedImage, snapshot: Snapshot): ImageRef {
  const image: ImageRef = { source, digest: "", reference, steps: [] };
  for (const [at, step] of steps.entries()) {
    const { kind, arguments: given } = step;
    if (kind !== "copy") image.steps.push({ kind, arguments: given, files: [] });
    else {
      const copied = copyOf(step.source ?? "", given[0] ?? "", snapshot);
      if (!copied) {
        const what = `image ${imageLabel(image)}: step ${at + 1} copy("${step.source}", "${given[0]}")`;
        throw new HobError("usage", `${what}: the project has no such file or folder, or ignore rules leave it out`, {
          remedy: "give a path from the project's folder",
        });
      }
      image.steps.push(copied);
    }
  }
  return image;
}

/** The files below `source`, by their paths below the target; undefined when there is none. */
function copyOf(source: string, target: string, snapshot: Snapshot): ImageStep | undefined {
  const one = snapshot.files.get(source);
  if (one) {
    const whole = target.endsWith("/") ? target + source.slice(source.lastIndexOf("/") + 1) : target;
    return { kind: "copy", arguments: [whole], files: [{ ...one, path: "" }] };
  }
  const prefix = source === "." ? "" : `${source}/`;
  const files: FileEntry[] = [];
  for (const file of snapshot.files.values()) {
    if (file.path.startsWith(prefix)) files.push({ ...file, path: file.path.slice(prefix.length) });
  }
  const folder = target === "/" ? target : target.replace(/\/$/, "");
  return files.length > 0 ? { kind: "copy", arguments: [folder], files } : undefined;
}

/** One phrase: "image changed: step 2 apt_install python3-pil added". */
export function imageReason(was: ImageRef = hostImageRef, now: ImageRef = hostImageRef): string {
  if (imageLabel(was) !== imageLabel(now)) return `image changed: ${imageLabel(was)} became ${imageLabel(now)}`;
  if (was.digest !== now.digest) return "image changed";
  const same = (left: ImageStep | undefined, right: ImageStep | undefined): boolean =>
    left !== undefined && right !== undefined && stepText(left) === stepText(right);
  let at = 0;
  while (same(was.steps[at], now.steps[at])) at++;
  const [before, after] = [was.steps[at], now.steps[at]];
  const step = `image changed: step ${at + 1}`;
  if (!before && !after) return "image changed";
  if (after && (!before || same(before, now.steps[at + 1]))) return `${step} ${stepLabel(after)} added`;
  if (before && (!after || same(was.steps[at + 1], after))) return `${step} ${stepLabel(before)} removed`;
  return `${step} ${stepDifference(before!, after!)}`;
}

const stepText = ({ kind, arguments: given, files }: ImageStep): string =>
  JSON.stringify([kind, given, files.map(({ path, digest, mode }) => [path, digest, mode])]);

function stepDifference(was: ImageStep, now: ImageStep): string {
  if (was.kind !== now.kind) return `${stepLabel(was)} became ${stepLabel(now)}`;
  if (now.kind === "copy" && was.arguments[0] === now.arguments[0]) {
    const before = new Map(was.files.map((file) => [file.path, file]));
    const after = new Map(now.files.map((file) => [file.path, file]));
    const differs = ({ path }: FileEntry): boolean =>
      before.get(path)?.digest !== after.get(path)?.digest || before.get(path)?.mode !== after.get(path)?.mode;
    const names = [...new Set([...was.files, ...now.files].filter(differs).map(({ path }) => path || now.arguments[0]))];
    return `copy to ${now.arguments[0]}: ${names.slice(0, 3).join(", ")}${names.length > 3 ? " …" : ""} changed`;
  }
  const words = (step: ImageStep, other: ImageStep) => step.arguments.filter((word) => !other.arguments.includes(word));
  const [added, removed] = [words(now, was), words(was, now)];
  const installs = now.kind === "apt" || now.kind === "pip" || now.kind === "npm";
  if (installs && added.length + removed.length > 0) {
    const parts = [added.length > 0 && `${added.join(" ")} added`, removed.length > 0 && `${removed.join(" ")} removed`];
    return `${now.kind}_install ${parts.filter(Boolean).join(", ")}`;
  }
  return `${stepLabel(now)} changed`;
}
