// ③ A deployment asked of control, and followed until it is live.

import { hostname, userInfo } from "node:os";
import { HobError } from "../base/errors.ts";
import {
  type DeployEvent,
  type Deployment,
  type DeploymentsClient,
  DeployRequest,
  type Warming,
} from "../proto/gen/hob/v1/deployments.ts";
import { fromServiceError } from "../proto/status.ts";

export interface Deployed {
  deployment: Deployment;
  /** What was live already had these very versions. */
  unchanged: boolean;
}

/** Resolves once it is live. The signal gives it up. */
export async function deployWith(
  client: Pick<DeploymentsClient, "deploy">,
  request: Partial<DeployRequest>,
  signal: AbortSignal,
  warming: (news: Warming) => void,
): Promise<Deployed> {
  const by = `${userInfo().username}@${hostname()}`;
  const stream = client.deploy(DeployRequest.fromPartial({ by, ...request }));
  const cancel = (): void => stream.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const { event } of stream as AsyncIterable<DeployEvent>) {
      if (event?.$case === "warming") warming(event.value);
      else if (event) return { deployment: event.value, unchanged: event.$case === "unchanged" };
    }
  } catch (error) {
    if (signal.aborted) throw new HobError("cancelled", `deploying ${request.app} was given up: what was live stays so`);
    throw fromServiceError(error);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  throw new HobError("unavailable", `control ended before ${request.app} was deployed`, { remedy: "deploy it again" });
}
