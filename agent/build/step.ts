// ⑤ One step of an image: run in a container, or applied to the manifest alone. Its image is in the store when it resolves.

import { createReadStream } from "node:fs";
import type { ContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { inTurns } from "../../base/turns.ts";
import { createContentHasher } from "../../fusefs/image/chunks.ts";
import { configOf } from "../../fusefs/image/config.ts";
import { encodeInTurns } from "../../fusefs/image/encode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { captureFolder } from "../../fusefs/image/folder.ts";
import { type Manifest, UNCHUNKED_BYTES } from "../../fusefs/image/manifest.ts";
import type { ImageRef, ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { type ContainerUser, rootUser } from "../container/spec.ts";
import type { Content } from "../content.ts";
import { defaultPath } from "../runner/command.ts";
import { fileAt } from "../runner/image-paths.ts";
import { knowsHosts } from "../runner/image-runtime.ts";
import { userOf } from "../runner/users.ts";
import { type AptSource, sourcesFor } from "./apt-sources.ts";
import type { BuildOutput } from "./build-log.ts";
import { changeOf } from "./changes.ts";
import { explainStep, stepTitle } from "./explain.ts";
import { applyUpper } from "./layer.ts";
import { readNodeConfig } from "./node-config.ts";
import { type Script, scriptOf } from "./script.ts";
import { mountPoints, runStep, type StepHost, type Written } from "./step-container.ts";
import { metacopyXattr, readUpper } from "./upper.ts";

export interface StepsHost {
  store: ContentFolder;
  content: Pick<Content, "ensure">;
  /** Where the image is mounted; mounts it if it is not. */
  mountPoint(digest: string): Promise<string>;
  containers: StepHost;
}

export interface StepBefore {
  digest: string;
  manifest: Manifest;
}

/** The text of a file of the image, "" where it has none. */
async function readText({ store, content }: StepsHost, manifest: Manifest, path: string): Promise<string> {
  const file = fileAt(manifest, path);
  if (!file) return "";
  await content.ensure([file.digest]);
  return store.read(file.digest).toString("utf8");
}

async function chunksOfFiles({ store, content }: StepsHost, { files }: ImageStep): Promise<Map<string, readonly string[]>> {
  await content.ensure(files.map(({ digest }) => digest));
  const chunks = new Map<string, readonly string[]>();
  for (const { digest, size } of files) {
    if (size <= UNCHUNKED_BYTES || chunks.has(digest)) continue;
    const hasher = createContentHasher();
    for await (const piece of createReadStream(store.path(digest), { highWaterMark: 1 << 20 })) hasher.update(piece as Buffer);
    chunks.set(digest, hasher.content().chunks ?? []);
  }
  return chunks;
}

/** apt's sources for an image: the node's mirrors where both are Debian, else its own. */
async function aptSources(
  host: StepsHost,
  { source, reference }: ImageRef,
  manifest: Manifest,
): Promise<(own: NodeApt) => AptSource[]> {
  const release = source === "debian" ? "" : await readText(host, manifest, "/etc/os-release");
  const suite =
    source === "debian" ? reference : /^ID=debian$/m.test(release) ? /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] : "";
  return ({ sources, codename }) => (suite && codename ? sourcesFor(sources, codename, suite) : []);
}
type NodeApt = Awaited<ReturnType<typeof readNodeConfig>>["apt"];

async function userFor(host: StepsHost, manifest: Manifest, script: Script): Promise<ContainerUser> {
  const { user } = configOf(manifest);
  if (script.asRoot || user === "") return rootUser;
  return userOf(user, await readText(host, manifest, "/etc/passwd"), await readText(host, manifest, "/etc/group"));
}

async function runScript(
  host: StepsHost,
  { image, index }: { image: ImageRef; index: number },
  { digest, manifest }: StepBefore,
  script: Script,
  output: BuildOutput,
  signal: AbortSignal,
): Promise<Buffer> {
  const settings = configOf(manifest);
  const has = { knowsHosts: knowsHosts(manifest) };
  const config = await readNodeConfig();
  const sources = (await aptSources(host, image, manifest))(config.apt);
  let next: Buffer | undefined;
  async function take({ folder, range }: Written): Promise<void> {
    const captured = await captureFolder(folder, host.store, {
      signal,
      lacksContent: ({ xattrs }) => xattrs?.has(metacopyXattr) === true,
    });
    const entries = await inTurns(applyUpper(entriesOfManifest(manifest), readUpper(captured, range), mountPoints(has)));
    next = await encodeInTurns(entries, settings);
  }
  const end = await runStep(
    host.containers,
    {
      ...{ imageMount: await host.mountPoint(digest), script: script.text, config, sources, ...has },
      env: { PATH: defaultPath, LANG: "C.UTF-8", ...settings.env, ...script.env },
      cwd: settings.workdir || "/",
      user: await userFor(host, manifest, script),
    },
    output.write,
    take,
    signal,
  );
  output.flush();
  if (!next) throw new HobError("function", explainStep(image, index, end, output.last()));
  return next;
}

/** The digest of the image after the step. HobError `function` or `precondition` for what its author can mend, each naming image and step. */
export async function buildStep(
  host: StepsHost,
  which: { image: ImageRef; index: number },
  before: StepBefore,
  output: BuildOutput,
  signal: AbortSignal,
): Promise<string> {
  const step = which.image.steps[which.index] as ImageStep;
  const script = scriptOf(step);
  if (script) return await host.store.put(await runScript(host, which, before, script, output, signal));
  const chunks = await chunksOfFiles(host, step);
  try {
    const change = changeOf(before.manifest, step, (digest) => chunks.get(digest));
    if (!change)
      throw new HobError("usage", `this node's hob knows no step of kind "${step.kind}"`, { remedy: "update hob on it" });
    return await host.store.put(await encodeInTurns(change.entries, change.config));
  } catch (error) {
    if (!(error instanceof HobError)) throw error;
    throw new HobError(error.kind, `${stepTitle(which.image, which.index)}: ${error.sentence}`, { cause: error });
  }
}
