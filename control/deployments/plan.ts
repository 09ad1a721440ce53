// ④ What a deployment changes, and what a rollback goes back to. Pure.

import { HobError } from "../../base/errors.ts";
import type { Version } from "../../proto/gen/hob/v1/common.ts";
import type { DeployedFunction, Deployment, DeploymentChange, ExpectedVersion } from "../../proto/gen/hob/v1/deployments.ts";

/** By function name, in its order. */
export function changesBetween(before: readonly DeployedFunction[], after: readonly DeployedFunction[]): DeploymentChange[] {
  const was = new Map(before.map((deployed) => [deployed.version!.function, deployed]));
  const changes: DeploymentChange[] = [];
  for (const { version, image } of after) {
    const name = version!.function;
    const former = was.get(name);
    was.delete(name);
    if (!former) changes.push({ function: name, kind: "added", before: "", after: version!.digest });
    else if (former.version!.digest !== version!.digest)
      changes.push({ function: name, kind: "changed", before: former.version!.digest, after: version!.digest });
    else if (former.image !== image && former.image !== "" && image !== "")
      changes.push({ function: name, kind: "image", before: former.image, after: image });
  }
  for (const [name, { version }] of was) changes.push({ function: name, kind: "removed", before: version!.digest, after: "" });
  return changes.sort((a, b) => (a.function < b.function ? -1 : 1));
}

/** The deployment of which a rollback takes the versions: `to`, or the one before what is live. `kept` is in the order of the numbers. */
export function rollbackTarget(app: string, kept: readonly Deployment[], live: number, to: number): Deployment {
  const numbers = kept.map(({ number }) => number);
  const current = kept.find(({ number }) => number === live);
  if (!current) {
    throw new HobError("precondition", `${app} has no live deployment to go back from`, { remedy: "deploy it: hob deploy" });
  }
  if (to > 0) {
    const found = kept.find(({ number }) => number === to);
    if (!found) {
      throw new HobError("notFound", `${app} has no deployment ${to}`, { remedy: `there are ${numbers.join(", ")}` });
    }
    if (to === live || to === current.of)
      throw new HobError("precondition", `what deployment ${to} of ${app} has is live already`);
    return found;
  }
  const from = current.of || current.number;
  const earlier = kept.findLast(({ number, of }) => number < from && of === 0);
  if (earlier) return earlier;
  const first = kept.find(({ of }) => of === 0)?.number ?? from;
  const why = first === 1 ? "is its first" : "is the oldest that is kept";
  throw new HobError("precondition", `${app} cannot go back further: deployment ${from} ${why}`, {
    remedy: "hob apps history shows them; mend the code and deploy it",
  });
}

/** What was published is what the client has seen, function by function; else who deploys would promote what somebody else has just saved. */
export function checkExpected(app: string, current: readonly Version[], expected: readonly ExpectedVersion[]): void {
  if (expected.length === 0) return;
  const published = new Map(current.map((version) => [version.function, version.digest]));
  const other = expected.find(({ function: name, digest }) => published.get(name) !== digest);
  const more = current.find(({ function: name }) => !expected.some((one) => one.function === name));
  if (!other && !more) return;
  const name = other?.function ?? more!.function;
  const is = published.get(name)?.slice(0, 6) ?? "none";
  const wanted = other ? other.digest.slice(0, 6) : "none";
  throw new HobError("precondition", `deploying ${app}: the pool has version ${is} of ${name}, and this folder ${wanted}`, {
    remedy: "another folder publishes this app, or its newest version does not load: look at hob dev, then deploy again",
  });
}
