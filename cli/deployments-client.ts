// ⑧ What commands ask of control about deployments.

import { type Deployed, deployWith } from "../project/deploying.ts";
import {
  type AppInfo,
  type Deployment,
  DeploymentsClient,
  type DeployRequest,
  type HistoryResponse,
  type ListAppsResponse,
  type RetireResponse,
  type Warming,
} from "../proto/gen/hob/v1/deployments.ts";
import { channelOptionsOf, clientCredentials } from "../proto/transport.ts";
import { answered, soon } from "./answered.ts";

export interface DeploymentsPool extends Disposable {
  /** Resolves once it is live. The signal gives it up. */
  deploy(request: Partial<DeployRequest>, signal: AbortSignal, warming: (news: Warming) => void): Promise<Deployed>;
  apps(): Promise<AppInfo[]>;
  history(app: string): Promise<Deployment[]>;
  retire(app: string): Promise<number>;
}

export function openDeploymentsPool(address: string): DeploymentsPool {
  const client = new DeploymentsClient(address, clientCredentials(address), channelOptionsOf(address));

  return {
    deploy: (request, signal, warming) => deployWith(client, request, signal, warming),
    apps: async () => (await answered<ListAppsResponse>((done) => client.listApps({}, ...soon(), done))).apps,
    history: async (app) => (await answered<HistoryResponse>((done) => client.history({ app }, ...soon(), done))).deployments,
    retire: async (app) => (await answered<RetireResponse>((done) => client.retire({ app }, ...soon(), done))).number,
    [Symbol.dispose]: () => client.close(),
  };
}
