// ⑧ A deployment as people and programs read it.

import type { Deployment, DeploymentChange } from "../proto/gen/hob/v1/deployments.ts";

const short = (digest: string): string => digest.replace(/^sha256:/, "").slice(0, 6);

/** "embed changed a1b2c3 → d4e5f6" */
export function changeLine({ function: name, kind, before, after }: DeploymentChange): string {
  if (kind === "added") return `${name} added ${short(after)}`;
  if (kind === "removed") return `${name} removed ${short(before)}`;
  return `${name} ${kind === "image" ? "has another image" : "changed"} ${short(before)} → ${short(after)}`;
}

export function deploymentObject({ app, number, live, atMs, by, note, of, functions, changes }: Deployment): object {
  const versions = functions.map(({ version, image }) => ({ function: version!.function, version: version!.digest, image }));
  return { kind: "deployment", app, number, live, atMs, by, note, of, functions: versions, changes };
}
