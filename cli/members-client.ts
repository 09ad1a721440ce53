// ⑧ What the commands of a pool of machines ask of control's Members service: one promise a question.

import { Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  type ChangeNodeResponse,
  type CreateTokenResponse,
  type JoinResponse,
  type ListTokensResponse,
  MembersClient,
  type RevokeTokenResponse,
  type TokenInfo,
  type WhoAmIResponse,
} from "../proto/gen/hob/v1/members.ts";
import { fromServiceError } from "../proto/status.ts";
import { channelOptionsOf, clientCredentials } from "../proto/transport.ts";

export interface Members extends Disposable {
  whoAmI(): Promise<WhoAmIResponse>;
  join(node: string): Promise<string>;
  createToken(scope: string, note: string, expiresInMs: number): Promise<CreateTokenResponse>;
  tokens(): Promise<TokenInfo[]>;
  revokeToken(id: string): Promise<void>;
  /** Answers how many calls run there now. */
  changeNode(node: string, to: "cordoned" | "schedulable" | "drained" | "removed", patienceMs: number): Promise<number>;
}

const answerTimeoutMs = 10_000;

export function openMembers(address: string): Members {
  const client = new MembersClient(address, clientCredentials(address), channelOptionsOf(address));
  const ask = <Answer>(
    send: (deadline: { deadline: number }, done: (error: ServiceError | null, answer: Answer) => void) => void,
  ) =>
    new Promise<Answer>((resolve, reject) => {
      send({ deadline: Date.now() + answerTimeoutMs }, (error, answer) =>
        error ? reject(fromServiceError(error)) : resolve(answer),
      );
    });
  const none = new Metadata();
  return {
    whoAmI: () => ask<WhoAmIResponse>((until, done) => client.whoAmI({}, none, until, done)),
    join: async (node) => (await ask<JoinResponse>((until, done) => client.join({ node }, none, until, done))).token,
    createToken: (scope, note, expiresInMs) =>
      ask<CreateTokenResponse>((until, done) => client.createToken({ scope, note, expiresInMs }, none, until, done)),
    tokens: async () => (await ask<ListTokensResponse>((until, done) => client.listTokens({}, none, until, done))).tokens,
    revokeToken: async (id) =>
      void (await ask<RevokeTokenResponse>((until, done) => client.revokeToken({ id }, none, until, done))),
    changeNode: async (node, to, patienceMs) =>
      (await ask<ChangeNodeResponse>((until, done) => client.changeNode({ node, to, patienceMs }, none, until, done))).calls,
    [Symbol.dispose]: () => client.close(),
  };
}
