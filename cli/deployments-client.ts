// ⑧ What commands ask of control about deployments.

import { hostname, userInfo } from "node:os";
import { HobError } from "../base/errors.ts";
import {
  type AppInfo,
  type DeployEvent,
  type Deployment,
  DeploymentsClient,
  DeployRequest,
  type HistoryResponse,
  type ListAppsResponse,
  type RetireResponse,
  type Warming,
} from "../proto/gen/hob/v1/deployments.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptionsOf, clientCredentials } from "../proto/transport.ts";
import { answered, soon } from "./answered.ts";

interface Deployed {
  deployment: Deployment;
  /** What was live already had these very versions. */
  unchanged: boolean;
}

export interface DeploymentsPool extends Disposable {
  /** Resolves once it is live. The signal gives it up. */
  deploy(request: Partial<DeployRequest>, signal: AbortSignal, warming: (news: Warming) => void): Promise<Deployed>;
  apps(): Promise<AppInfo[]>;
  history(app: string): Promise<Deployment[]>;
  retire(app: string): Promise<number>;
}

export function openDeploymentsPool(address: string): DeploymentsPool {
  const client = new DeploymentsClient(address, clientCredentials(address), channelOptionsOf(address));

  async function deploy(
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

  return {
    deploy,
    apps: async () => (await answered<ListAppsResponse>((done) => client.listApps({}, ...soon(), done))).apps,
    history: async (app) => (await answered<HistoryResponse>((done) => client.history({ app }, ...soon(), done))).deployments,
    retire: async (app) => (await answered<RetireResponse>((done) => client.retire({ app }, ...soon(), done))).number,
    [Symbol.dispose]: () => client.close(),
  };
}
