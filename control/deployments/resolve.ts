// ④ Which app, and where it is a deployment which version, a caller means: of what was published last, or of what was promoted.

import type { Digest } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { baseOf, deploymentName, isDeployment, parseReference } from "../../proto/app-name.ts";
import type { Deployment } from "../../proto/gen/hob/v1/deployments.ts";
import type { Registry } from "../registry.ts";
import type { DeploymentRecords } from "./records.ts";

export interface Named {
  app: string;
  /** "": the current one. */
  version: Digest;
}

interface Asked {
  /** As registry.proto has it, StartCall.app. */
  app: string;
  function: string;
  version: Digest;
}

/** Throws a HobError for what there is not. `parent` is the app of the call that asks; "" when it comes from outside. */
export type Resolve = (asked: Asked, parent: string) => Named;

export function createResolve(deployments: DeploymentRecords, registry: Pick<Registry, "versionLike">): Resolve {
  function within(deployment: Deployment, name: string): Named {
    const found = deployment.functions.find(({ version }) => version!.function === name)?.version;
    const app = deploymentName(deployment.app, deployment.number);
    if (found) return { app, version: found.digest };
    const names = deployment.functions.map(({ version }) => version!.function);
    throw new HobError("notFound", `deployment ${deployment.number} of ${deployment.app} has no function ${name}`, {
      remedy: `it has ${names.slice(0, 8).join(", ")}`,
    });
  }

  function numbered(app: string, number: number): Deployment {
    const { kept } = deployments.of(app);
    const found = kept.find((deployment) => deployment.number === number);
    if (found) return found;
    const numbers = kept.map((deployment) => deployment.number).join(", ");
    throw new HobError("notFound", `${app} has no deployment ${number}`, {
      remedy: numbers === "" ? "it has never been deployed: hob deploy" : `there are ${numbers}`,
    });
  }

  /** From a deployed function nothing leads to what nobody has promoted. */
  function live({ app, function: name, version }: Asked, parent: string): Named {
    const deployment = deployments.live(app);
    if (deployment) return within(deployment, name);
    if (!isDeployment(parent)) return { app, version };
    throw new HobError("notFound", `${parent} calls ${app}/${name}, and ${app} is not deployed`, {
      remedy: "deploy it: hob deploy",
    });
  }

  function byDigest(app: string, name: string, digest: string): Named {
    const { kept, live: now } = deployments.of(app);
    const order = [...kept].sort((a, b) => Number(b.number === now) - Number(a.number === now) || b.number - a.number);
    for (const { number, functions } of order) {
      const found = functions.find(({ version }) => version!.function === name && version!.digest.startsWith(digest))?.version;
      if (found) return { app: deploymentName(app, number), version: found.digest };
    }
    const published = registry.versionLike(app, name, digest);
    if (published) return { app, version: published.digest };
    throw new HobError("notFound", `${app}/${name} has no version ${digest.slice(0, 12)}`, {
      remedy: `hob apps history ${app} lists what was deployed`,
    });
  }

  return (asked, parent) => {
    if (!asked.app.includes("@") && !isDeployment(parent)) return { app: asked.app, version: asked.version };
    const reference = parseReference(asked.app);
    if (!reference) {
      throw new HobError("usage", `"${asked.app}" is no app`, { remedy: "write APP, APP@live, APP@3 or APP@DIGEST" });
    }
    const { app } = reference;
    switch (reference.kind) {
      case "plain":
        if (baseOf(parent) !== app) return live(asked, parent);
        return within(numbered(app, Number(parent.slice(app.length + 1))), asked.function);
      case "live":
        return live({ ...asked, app }, parent);
      case "number":
        return within(numbered(app, reference.number), asked.function);
      case "digest":
        return byDigest(app, asked.function, reference.digest);
    }
  };
}

/** The same with what is wrong as a sentence. A caller that names no app means its own. */
export function resolveOrTell(resolve: Resolve, asked: Asked, parent: string): Named & { problem?: string } {
  const app = asked.app || parent;
  try {
    return resolve({ app, function: asked.function, version: asked.version }, parent);
  } catch (error) {
    if (!(error instanceof HobError)) throw error;
    return { app, version: asked.version, problem: error.sentence };
  }
}
