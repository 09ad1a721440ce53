// ④ How control is reached from other machines: its tokens, and, once it listens on the network, the way there.

import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { systemClock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type NetworkAddress, networkAddress, networkUrl } from "../../proto/address.ts";
import { controlName, peerName } from "../../proto/authority.ts";
import type { Records } from "../engine/engine.ts";
import { type KeyPair, makeServerCertificate } from "./certificates.ts";
import { createGate } from "./gate.ts";
import { type GivenFiles, openServerIdentity } from "./identity.ts";
import { listenOnNetwork } from "./network.ts";
import { createTokens, type Tokens } from "./tokens.ts";

const lookEveryMs = 60_000;

export interface NetworkOptions {
  host: string;
  port: number;
  /** What URLs say, where machines elsewhere know control by another name or port. */
  advertised?: Pick<NetworkAddress, "host" | "port" | "others">;
  /** A certificate from elsewhere, instead of one of control's own authority. */
  given?: GivenFiles;
  /** How often it is seen whether the certificate has to be renewed, or was changed: a minute. */
  lookEveryMs?: number;
  /** It serves there. */
  ready?(address: string): void;
}

export interface Reach {
  readonly tokens: Tokens;
  /** The URL that leads here with that token. Throws where control does not listen on the network. */
  url(token: string): string;
  /** Bytes that have come on the connection from that peer; NaN where there is none. */
  receivedFrom(peer: string): number;
  /** What a node is to show to others; undefined where nobody vouches for nodes. */
  certify(node: string): Promise<KeyPair | undefined>;
  listen(network: NetworkOptions, services: [ServiceDefinition, UntypedServiceImplementation][]): Promise<AsyncDisposable>;
}

export function createReach({ records, state, log }: { records: Records; state: string; log: Log }): Reach {
  const { now } = systemClock;
  const tokens = createTokens(records, now);
  let url: ((token: string) => string) | undefined;
  let receivedFrom: Reach["receivedFrom"] = () => Number.NaN;
  let authority: () => KeyPair | undefined = () => undefined;

  return {
    tokens,
    url(token) {
      if (url) return url(token);
      throw new HobError("precondition", "this control listens at its own socket only, where nobody needs a token", {
        remedy: "start it with `hob control --listen HOST:PORT` for machines elsewhere",
      });
    },
    receivedFrom: (peer) => receivedFrom(peer),
    async certify(node) {
      const vouching = authority();
      return vouching && makeServerCertificate(vouching, [peerName(node)], now());
    },
    async listen(network, services) {
      await using stack = new AsyncDisposableStack();
      const renewed: Parameters<typeof openServerIdentity>[0]["renewed"] = (current) => server.show(current);
      const identity = stack.use(
        await openServerIdentity({
          ...{ state, given: network.given, file: "control", names: [controlName], now, renewed, log },
          lookEveryMs: network.lookEveryMs ?? lookEveryMs,
        }),
      );
      const gate = stack.use(createGate(tokens, now, log));
      const server = stack.use(await listenOnNetwork({ at: network, services, identity, gate, log }));
      const at = network.advertised ?? { host: network.host, port: server.port };
      url = (token) => networkUrl({ ...at, token, pin: identity.pin });
      receivedFrom = server.receivedFrom;
      authority = () => identity.authority;
      log.info({ address: networkAddress(at), pin: identity.pin }, "control listens on the network");
      network.ready?.(networkAddress(at));
      return stack.move();
    },
  };
}
