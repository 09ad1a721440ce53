// ⑧ What commands that look at a pool ask of control: one promise or one stream a question.

import type { ClientUnaryCall, ServiceError } from "@grpc/grpc-js";
import { fetchValue } from "../project/large-values.ts";
import { type CallInfo, CallsClient, ListCallsRequest, type ListCallsResponse, LogsRequest } from "../proto/gen/hob/v1/calls.ts";
import type { LogLine, Value, Version } from "../proto/gen/hob/v1/common.ts";
import { ContentClient } from "../proto/gen/hob/v1/content.ts";
import {
  FleetClient,
  type FleetSample,
  type ImageInfo,
  type ListImagesResponse,
  type ShutdownResponse,
} from "../proto/gen/hob/v1/fleet.ts";
import { ListMapsRequest, type ListMapsResponse, type MapInfo } from "../proto/gen/hob/v1/maps.ts";
import { type ListFunctionsResponse, RegistryClient } from "../proto/gen/hob/v1/registry.ts";
import { type ListSecretsResponse, type SecretInfo, SecretsClient, type SetSecretResponse } from "../proto/gen/hob/v1/secrets.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptions, clientCredentials } from "../proto/transport.ts";

export interface PoolClient extends Disposable {
  functions(app: string): Promise<Version[]>;
  calls(request: Partial<ListCallsRequest>): Promise<CallInfo[]>;
  maps(request: Partial<ListMapsRequest>): Promise<MapInfo[]>;
  /** The JSON of a value, wherever it lies. */
  value(value: Value): Promise<Buffer>;
  /** Past lines, oldest first; with `follow` it goes on until the signal ends it. */
  logs(request: Partial<LogsRequest>, signal: AbortSignal): AsyncIterable<LogLine[]>;
  fleet(): Promise<FleetSample>;
  images(): Promise<ImageInfo[]>;
  /** Calls in flight have `patienceMs` to finish. */
  shutdown(patienceMs: number): Promise<void>;
  secrets(app: string): Promise<SecretInfo[]>;
  /** Both say how many containers had the former value, and are replaced. */
  setSecret(app: string, name: string, value: string): Promise<number>;
  removeSecret(app: string, name: string): Promise<number>;
}

/** A question that control does not answer in this time has no answer. */
const answerTimeoutMs = 10_000;

export function openPoolClient(address: string): PoolClient {
  const credentials = clientCredentials(address);
  // Clients that share a channel share its connection.
  const calls = new CallsClient(address, credentials, channelOptions);
  const shared = { ...channelOptions, channelOverride: calls.getChannel() };
  const fleet = new FleetClient(address, credentials, shared);
  const registry = new RegistryClient(address, credentials, shared);
  const content = new ContentClient(address, credentials, shared);
  const secrets = new SecretsClient(address, credentials, shared);

  return {
    functions: async (app) => (await ask<ListFunctionsResponse>((done) => registry.listFunctions({ app }, done))).versions,
    maps: async (request) =>
      (await ask<ListMapsResponse>((done) => calls.listMaps(ListMapsRequest.fromPartial(request), done))).maps,
    calls: async (request) =>
      (await ask<ListCallsResponse>((done) => calls.listCalls(ListCallsRequest.fromPartial(request), done))).calls,
    value: (value) => fetchValue(content, value),
    async *logs(request, signal) {
      const stream = calls.logs(LogsRequest.fromPartial(request));
      const cancel = (): void => stream.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      try {
        for await (const { lines } of stream) yield lines;
      } catch (error) {
        if (!signal.aborted) throw fromServiceError(error);
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
    fleet: () => ask<FleetSample>((done) => fleet.get({}, done)),
    images: async () => (await ask<ListImagesResponse>((done) => fleet.listImages({}, done))).images,
    shutdown: async (patienceMs) => void (await ask<ShutdownResponse>((done) => fleet.shutdown({ patienceMs }, done))),
    secrets: async (app) => (await ask<ListSecretsResponse>((done) => secrets.listSecrets({ app }, done))).secrets,
    setSecret: async (app, name, value) =>
      (await ask<SetSecretResponse>((done) => secrets.setSecret({ app, name, value }, done))).containers,
    removeSecret: async (app, name) =>
      (await ask<SetSecretResponse>((done) => secrets.removeSecret({ app, name }, done))).containers,
    [Symbol.dispose]: () => calls.close(),
  };
}

function ask<Answer>(send: (done: (error: ServiceError | null, answer: Answer) => void) => ClientUnaryCall): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = send((error, answer) => {
      clearTimeout(timer);
      if (error) reject(fromServiceError(error));
      else resolve(answer);
    });
    const timer = setTimeout(() => call.cancel(), answerTimeoutMs);
  });
}
