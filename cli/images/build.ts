// ⑧ `hob images build`: the log to stderr as it comes, the digest to stdout.

import { HobError } from "../../base/errors.ts";
import { askMissing, putBlobs } from "../../project/content.ts";
import { type NamedImage, withNamedImage } from "../../project/image-target.ts";
import { registryCredentials } from "../../project/registry-credentials.ts";
import type { Failure, ImageRef } from "../../proto/gen/hob/v1/common.ts";
import type { ImageBuild } from "../../proto/gen/hob/v1/images.ts";
import { buildPlace, hostImageKey, imageKey, imageLabel } from "../../proto/image.ts";
import { connectTo, runningControl } from "../control-address.ts";
import { interruptSignal, unlessInterrupted } from "../interrupt.ts";
import { lingerMs } from "../linger.ts";
import { parseFileTarget } from "../names.ts";
import { printJson, printLine } from "../output.ts";
import { projectOf } from "../project-root.ts";
import { type ImageClient, openImageClient } from "./client.ts";

export interface BuildFlags {
  control?: string;
  linger?: string;
  json?: boolean;
  cache?: boolean;
}

/** FILE::NAME, described; what `use` needs of the file's project is there as long as it runs. */
export function withImageOf<T>(text: string, use: (named: NamedImage) => Promise<T>): Promise<T> {
  const target = parseFileTarget(text);
  if (target.function === "") {
    throw new HobError("usage", `"${text}" names no image of a file`, { remedy: "write FILE::IMAGE, for example app.py::image" });
  }
  const { root, path } = projectOf(target.file);
  return withNamedImage(root, path, target.function, use);
}

export async function build(text: string, flags: BuildFlags): Promise<void> {
  const digest = await builtImage(text, flags);
  if (!flags.json) printLine(digest);
}

/** Of an image of a file, built if it has to be. */
async function builtImage(text: string, flags: BuildFlags): Promise<string> {
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  const building = withImageOf(text, async (named) => {
    using images = openImageClient(await connectTo(flags.control, lingerMs(flags.linger))());
    await putCopies(images, named);
    return await follow(images, named.image, flags, signal);
  });
  return unlessInterrupted(signal, building);
}

/** Of an image of a file, which is built if it has to be; or of one that control knows, by the first digits of its digest. */
export async function imageDigest(text: string, flags: Omit<BuildFlags, "json">): Promise<string> {
  if (text.includes("::")) return builtImage(text, flags);
  using images = openImageClient(await runningControl(flags.control));
  const digest = (await images.show(text)).record?.digest;
  if (digest) return digest;
  throw new HobError("precondition", `image ${text} has not been built`, { remedy: `\`hob images show ${text}\` says why` });
}

/** Files that it copies and that control does not have yet. */
async function putCopies(images: ImageClient, { image, content }: NamedImage): Promise<void> {
  const copied = [...new Set(image.steps.flatMap(({ files }) => files.map(({ digest }) => digest)))];
  if (copied.length > 0) await putBlobs(images.content, await askMissing(images.content, copied), content);
}

/** Until it is ready: its digest. */
export async function follow(images: ImageClient, image: ImageRef, flags: BuildFlags, signal: AbortSignal): Promise<string> {
  if (imageKey(image) === hostImageKey) {
    throw new HobError("usage", "Image.host() is not built: each node makes its own", { remedy: "add a step to it" });
  }
  const credentials = await registryCredentials(image.source === "oci" ? [image.reference] : []);
  let place = "";
  for await (const event of images.build({ image, anew: flags.cache === false, credentials }, signal)) {
    if (flags.json) printJson(objectOf(event));
    else place = tell(event, place);
    if (event.state === "failed") throw failed(event.failure);
    if (event.state === "ready") return event.digest;
  }
  throw new HobError("unavailable", "control ended before the image was ready", { remedy: "try again" });
}

/** A line for each step, and what it prints. */
function tell({ image, state, step, lines, node }: ImageBuild, before: string): string {
  const place = state === "building" ? buildPlace(image, step) : state;
  const where = state === "building" && node ? ` on ${node}` : "";
  if (place !== before && state !== "failed")
    process.stderr.write(`hob: image ${image ? imageLabel(image) : ""}: ${place}${where}\n`);
  for (const { text } of lines) process.stderr.write(`  ${text}\n`);
  return place;
}

const objectOf = ({ key, image, state, node, step, lines, digest, failure }: ImageBuild): object => ({
  ...{ kind: "build", key, image: image ? imageLabel(image) : "", state, node, step, steps: image?.steps.length ?? 0 },
  ...{ doing: buildPlace(image, step), lines: lines.map(({ text }) => text), digest: digest || null },
  ...(failure && { failure: { kind: failure.kind, message: failure.message } }),
});

/** Whose fault it is decides the exit code. */
const failed = (failure: Failure | undefined): HobError =>
  new HobError(failure?.kind === "infrastructure" ? "unavailable" : "function", failure?.message ?? "the build failed");
