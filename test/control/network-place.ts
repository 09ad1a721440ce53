// Control on the network for tests: what it logs, tokens of it, and channels that show them.

import { Client, type ClientOptions, Metadata } from "@grpc/grpc-js";
import { pino } from "pino";
import type { NetworkOptions } from "../../control/access/reach.ts";
import { type NetworkAddress, networkAddress, parseNetworkUrl } from "../../proto/address.ts";
import { fetchAuthority } from "../../proto/authority.ts";
import { type CreateTokenResponse, MembersClient } from "../../proto/gen/hob/v1/members.ts";
import { fromServiceError } from "../../proto/status.ts";
import { clientCredentials, introduce, networkOptions, unixAddress } from "../../proto/transport.ts";
import { Arrivals, makePlace, type Place, startControl } from "./harness.ts";

type LogLine = Record<string, unknown> & { msg: string };

export interface NetworkPlace extends AsyncDisposable {
  readonly place: Place;
  readonly logged: Arrivals<LogLine>;
  readonly owner: MembersClient;
  /** A URL with a new token of that scope. */
  url(scope: string, expiresInMs?: number): Promise<NetworkAddress>;
  /** Introduces this process with such a token; the address is a new one each time, for credentials belong to addresses. */
  enter(scope: string): Promise<string>;
  /** Joins as that node. */
  join(node: string): Promise<string>;
  restart(): Promise<void>;
}

/** The promise of a unary call. */
export function asked<Answer>(send: (done: (error: Error | null, answer: Answer) => void) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    send((error, answer) => (error ? reject(fromServiceError(error)) : resolve(answer)));
  });
}

/** Another name of this machine for each identity: 127.0.0.2, 127.0.0.3 … */
let lastHost = 1;

export async function makeNetworkPlace(network: Partial<NetworkOptions> = {}): Promise<NetworkPlace> {
  const stack = new AsyncDisposableStack();
  const place = stack.use(makePlace());
  const logged = new Arrivals<LogLine>();
  const log = pino({ level: "info" }, { write: (line: string) => logged.add(JSON.parse(line) as LogLine) });
  let port = 0;
  const start = () =>
    startControl(place, {
      log,
      network: {
        ...{ host: "0.0.0.0", port, ...network },
        ready(address) {
          ({ port } = parseNetworkUrl(address));
        },
      },
    });
  let control = await start();
  stack.defer(() => control[Symbol.asyncDispose]());
  const owner = new MembersClient(unixAddress(place.socket), clientCredentials(unixAddress(place.socket)), {});
  stack.defer(() => owner.close());

  const self: NetworkPlace = {
    ...{ place, logged, owner },
    async url(scope, expiresInMs = scope === "join" ? 60_000 : 0) {
      const { url } = await asked<CreateTokenResponse>((done) => owner.createToken({ scope, note: "test", expiresInMs }, done));
      return { ...parseNetworkUrl(url), host: `127.0.0.${++lastHost}` };
    },
    async enter(scope) {
      const given = await self.url(scope);
      introduce(networkAddress(given), { authority: await fetchAuthority(given), token: given.token });
      return networkAddress(given);
    },
    async join(node) {
      const given = await self.url("join");
      const authority = await fetchAuthority(given);
      const address = networkAddress(given);
      introduce(address, { authority, token: given.token });
      const client = new MembersClient(address, clientCredentials(address), networkOptions);
      const { token } = await asked<{ token: string }>((done) => client.join({ node }, done));
      client.close();
      introduce(address, { authority, token });
      return address;
    },
    async restart() {
      await control[Symbol.asyncDispose]();
      control = await start();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  return self;
}

/** Sends bytes as they are, as a message of that method; resolves with the error that comes of it. */
export function sendRaw(address: string, path: string, bytes: Buffer, options: ClientOptions = {}): Promise<unknown> {
  const client = new Client(address, clientCredentials(address), { ...networkOptions, ...options });
  const same = (value: Buffer): Buffer => value;
  return new Promise((resolve) => {
    const stream = client.makeBidiStreamRequest(path, same, same, new Metadata());
    stream
      .on("data", () => {})
      .on("error", (error) => {
        client.close();
        resolve(fromServiceError(error));
      });
    stream.write(bytes);
  });
}
