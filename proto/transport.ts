// How processes reach control: a unix socket locally. Addresses are written `unix:PATH`.

import { type ChannelCredentials, type ChannelOptions, credentials, ServerCredentials } from "@grpc/grpc-js";

/** One value within a message: an input of a map, or its result, as JSON. Calls put theirs into the store from 1 MiB on (large-value.ts). */
export const greatestValueBytes = 8 << 20;
/** A call with its arguments and its result, and 4 MiB of anything else. */
const greatestMessageBytes = 2 * greatestValueBytes + (4 << 20);

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

/** For streams of contents: HTTP/2's 64 KiB a round trip would be 1.6 MB/s at 40 ms. The asker bounds what is on its way itself. */
export const contentChannelOptions: ChannelOptions = { ...channelOptions, "grpc-node.flow_control_window": 16 << 20 };

export const clientCredentials = (): ChannelCredentials => credentials.createInsecure();
export const serverCredentials = (): ServerCredentials => ServerCredentials.createInsecure();
export const unixAddress = (path: string): string => `unix:${path}`;
