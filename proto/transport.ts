// How processes reach control: at a unix socket, whose mode is the lock, or on the network, with a token and a pinned authority (address.ts).

import { checkServerIdentity, createSecureContext, type PeerCertificate } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  experimental,
  Metadata,
  makeGenericClientConstructor,
  ServerCredentials,
} from "@grpc/grpc-js";
import { HobError } from "../base/errors.ts";
import { isNetwork, parseNetworkUrl, placesOf } from "./address.ts";
import { controlName, peerName } from "./authority.ts";
import { lendGrpc } from "./generated-clients.ts";

export { unixAddress } from "./address.ts";

lendGrpc(makeGenericClientConstructor);

/** One value within a message: an input of a map, or its result, as JSON. Calls put theirs into the store from 1 MiB on (large-value.ts). */
export const greatestValueBytes = 8 << 20;
/** A call with its arguments and its result, and 4 MiB of anything else. */
export const greatestMessageBytes = 2 * greatestValueBytes + (4 << 20);

/** Pings notice a dead peer; one connection is kept for as long as its client. */
export const channelOptions: ChannelOptions = {
  "grpc.max_receive_message_length": greatestMessageBytes,
  "grpc.max_send_message_length": greatestMessageBytes,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.use_local_subchannel_pool": 1,
};

/**
 * On a network a connection may be cut without a word: its other end is asked whether it is there. An answer may wait behind what the kernel has been given to
 * send, so patience is long; that a node is gone control/silence.ts notices, and sooner.
 */
export const networkOptions: ChannelOptions = {
  ...channelOptions,
  "grpc.keepalive_time_ms": 2_000,
  "grpc.keepalive_timeout_ms": 8_000,
};

/** For a stream of which the end has to be noticed. */
export const channelOptionsOf = (address: string): ChannelOptions => (isNetwork(address) ? networkOptions : channelOptions);

/** For streams of contents: HTTP/2's 64 KiB a round trip would be 1.6 MB/s at 40 ms. The asker bounds what is on its way itself. */
export const contentChannelOptions: ChannelOptions = { ...channelOptions, "grpc-node.flow_control_window": 16 << 20 };

export const serverCredentials = (): ServerCredentials => ServerCredentials.createInsecure();

export interface Identity {
  /** PEM of the certificate that vouches for control. */
  authority: string;
  token: string;
}

const known = new Map<string, { channel: ChannelCredentials; authority: string }>();

type Check = (name: string, certificate: PeerCertificate) => Error | undefined;

function vouched(authority: string, check: Check): ChannelCredentials {
  const context = createSecureContext({ ca: authority, allowPartialTrustChain: true, minVersion: "TLSv1.3" });
  return credentials.createFromSecureContext(context, { checkServerIdentity: check });
}

function secured(address: string, { authority, token }: Identity): ChannelCredentials {
  const names = [controlName, ...placesOf(parseNetworkUrl(address)).map(({ host }) => host)];
  const checkIdentity: Check = (_name, certificate) => {
    const faults = names.map((name) => checkServerIdentity(name, certificate));
    return faults.every((fault) => fault !== undefined) ? faults.at(-1) : undefined;
  };
  const shown = new Metadata();
  shown.set("authorization", `Bearer ${token}`);
  return credentials.combineChannelCredentials(
    vouched(authority, checkIdentity),
    credentials.createFromMetadataGenerator((_, done) => done(null, shown)),
  );
}

/** From now on channels of this process to hob://HOST:PORT show this identity. */
export function introduce(address: string, identity: Identity): void {
  known.set(address, { channel: secured(address, identity), authority: identity.authority });
}

const open = credentials.createInsecure();

/** For channels to `address`; on the network it must have been introduced. */
export function clientCredentials(address: string): ChannelCredentials {
  if (!isNetwork(address)) return open;
  const found = known.get(address);
  if (found) return found.channel;
  throw new HobError("denied", `there is no login for ${address}`, { remedy: "run `hob login URL`, with the URL of a token" });
}

/** For channels to another node of that control's pool: on the network its authority vouches for the node, and nobody is shown a token. */
export function peerCredentials(control: string, peer: { address: string; node: string }): ChannelCredentials {
  if (!isNetwork(peer.address)) return open;
  const authority = known.get(control)?.authority;
  if (!authority) throw new HobError("denied", `nobody vouches here for node ${peer.node}: control is on this machine`);
  return vouched(authority, (_name, certificate) => checkServerIdentity(peerName(peer.node), certificate));
}

type Resolved = Parameters<experimental.ResolverListener>[0];

/**
 * hob://HOST:PORT[,HOST:PORT…] as channels see it: each resolved as dns:HOST:PORT is, and tried in order; but asked for by control's name, which is in its
 * certificate.
 */
class HobResolver implements experimental.Resolver {
  readonly #each: experimental.Resolver[];
  constructor(target: experimental.GrpcUri, listener: experimental.ResolverListener, options: ChannelOptions) {
    const places = target.path.replace(/^\/\//, "").split(",");
    const found: (Resolved | undefined)[] = places.map(() => undefined);
    const report = (index: number, result: Resolved, ...more: [Record<string, unknown>, null, string]): boolean => {
      found[index] = result;
      if (found.includes(undefined)) return true; // another is looked up still
      const endpoints = found.flatMap((one) => (one?.ok ? one.value : []));
      return listener(endpoints.length > 0 ? { ok: true, value: endpoints } : result, ...more);
    };
    this.#each = places.map((path, index) =>
      experimental.createResolver(
        { scheme: "dns", path },
        (result, attributes, _config, note) => report(index, result, attributes, null, note),
        options,
      ),
    );
  }
  updateResolution(): void {
    for (const resolver of this.#each) resolver.updateResolution();
  }
  destroy(): void {
    for (const resolver of this.#each) resolver.destroy();
  }
  static getDefaultAuthority(): string {
    return controlName;
  }
}

experimental.registerResolver("hob", HobResolver);
