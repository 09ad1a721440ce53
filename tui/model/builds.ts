// ⑧ Builds of images as the screen remembers them: the latest of each image, with its last lines.

import type { BuildLine, ImageBuild } from "../../proto/gen/hob/v1/images.ts";
import { hostImageRef, imageKey } from "../../proto/image.ts";
import type { State } from "./state.ts";

export interface BuildRecord {
  readonly build: ImageBuild;
  readonly lines: readonly BuildLine[];
}

const keptBuilds = 20;
const keptLines = 400;

/** The same build goes on; another of the same image begins with an empty log. */
export function recordBuild(known: readonly BuildRecord[], build: ImageBuild): readonly BuildRecord[] {
  const at = known.findIndex((record) => record.build.key === build.key);
  const before = known[at];
  const same = before?.build.startedAtMs === build.startedAtMs && before.build.state !== "failed";
  const lines = [...(same ? before.lines : []), ...build.lines].slice(-keptLines);
  const others = known.filter((record) => record !== before);
  return [{ build, lines }, ...others].slice(0, keptBuilds);
}

/** Those that the project's functions wait for, or cannot run without. */
export function presentBuilds({ builds, project }: Pick<State, "builds" | "project">): readonly BuildRecord[] {
  const used = new Set(project?.functions.map(({ spec }) => imageKey(spec.image ?? hostImageRef)));
  return builds.filter(({ build }) => build.state !== "ready" && used.has(build.key));
}
