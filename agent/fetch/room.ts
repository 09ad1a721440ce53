// ⑤ Puts the parts of fetching together, for one node: the stream to control, peers, lazy images, backfill.

import { join } from "node:path";
import { Metadata } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import type { ContentFolder } from "../../base/content-folder.ts";
import { sentenceOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openPartialBlobs } from "../../base/partial-blob.ts";
import type { SeenRead } from "../../fusefs/read-log.ts";
import { isNetwork } from "../../proto/address.ts";
import type { PeerCertificate } from "../../proto/gen/hob/v1/agents.ts";
import type { ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { fromServiceError } from "../../proto/status.ts";
import { openBackfill } from "./backfill.ts";
import { createFetcher, type Fetcher } from "./fetcher.ts";
import { openGiving } from "./giving.ts";
import { openHeld } from "./held.ts";
import { createLazyImages, type LazyImages } from "./lazy.ts";
import { createTakings } from "./peers.ts";
import { createSource } from "./source.ts";

export interface FetchRoom extends AsyncDisposable {
  readonly fetcher: Fetcher;
  readonly images: LazyImages;
  /** Where other nodes fetch from this one. */
  readonly address: string;
  /** Control has welcomed us with it. */
  peerKey(key: string): void;
  /** What this node shows to others on the network. */
  peerCertificate(pair: PeerCertificate): void;
}

export interface FetchRoomOptions {
  store: ContentFolder;
  /** The node's name. */
  name: string;
  /** Run folder: the socket for other nodes. */
  run: string;
  control(): Pick<ContentClient, "fetch" | "getTrace" | "put">;
  /** Control's address: where it is on the network, other nodes are too. */
  controlAddress: string;
  /** Reads of what is in the store bypass the FUSE daemon. */
  readsPastUs(): boolean;
  /** What has been read of that image's mount. */
  seen(image: string): Promise<SeenRead[]>;
  /** Control has the blob with a new trace. */
  traced(image: string, blob: string): void;
  trouble(image: string, sentence: string): void;
  idle(): boolean;
  backfillBytesPerSecond: number;
  clock: Clock;
  log: Log;
}

export async function openFetchRoom(options: FetchRoomOptions): Promise<FetchRoom> {
  const { store, name, control, clock, log } = options;
  await using stack = new AsyncDisposableStack();
  const partial = await openPartialBlobs(store, { durable: false });
  const takings = stack.use(createTakings(options.controlAddress));
  const source = stack.use(createSource(control, { name: "control", metadata: { node: name }, patient: true }));
  const fetcher = stack.use(createFetcher({ keep: { store, partial }, control: source, peer: takings.from, clock, log }));
  let key = "";

  function trace(image: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      control().getTrace({ image }, new Metadata({ waitForReady: true }), (error, answer) =>
        error ? reject(fromServiceError(error)) : resolve(answer.trace),
      );
    });
  }

  /** How far control is: the second answer, the first has the connection's begin in it. */
  async function measure(): Promise<void> {
    await trace("");
    const atMs = clock.now();
    await trace("");
    fetcher.measured(clock.now() - atMs);
  }

  async function tellTrace(image: string, data: Buffer): Promise<void> {
    const digest = await store.put(data);
    await new Promise<void>((resolve, reject) => {
      const stream = control().put((error) => (error ? reject(fromServiceError(error)) : resolve()));
      stream.end({ digest, data, last: true });
    });
    options.traced(image, digest);
  }

  const held = openHeld(store);
  const images = createLazyImages({
    ...{ store, fetcher, partial, trace, seen: options.seen, trouble: options.trouble, log },
    ...{ held, readsPastUs: options.readsPastUs },
    traced: (image, data) =>
      void tellTrace(image, data).catch((error) => log.warn({ image, error: sentenceOf(error) }, "telling control a trace")),
  });
  const giving = stack.use(
    await openGiving({
      socket: isNetwork(options.controlAddress) ? undefined : join(options.run, "peer.sock"),
      ...{ key: () => key, images, fetcher, store, partial, held },
    }),
  );
  stack.use(openBackfill({ images, fetcher, idle: options.idle, bytesPerSecond: options.backfillBytesPerSecond, clock, log }));
  measure().catch((error) => log.info({ error: sentenceOf(error) }, "measuring the way to control"));
  const life = stack.move();
  return {
    ...{ fetcher, images, address: giving.address },
    peerKey(given) {
      key = given;
    },
    peerCertificate: giving.show,
    [Symbol.asyncDispose]: () => life.disposeAsync(),
  };
}
