// ⑤ What this node gives to others, to whom control has given a ticket.

import { readFileSync } from "node:fs";
import { Server } from "@grpc/grpc-js";
import type { ContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { type PartialBlobs, partialPath } from "../../base/partial-blob.ts";
import { type FetchAnswer, type FetchStream, fileContent, memoryContent, serveFetch } from "../../proto/fetch-serving.ts";
import { ContentService, type FetchWant } from "../../proto/gen/hob/v1/content.ts";
import { isPeerTicket } from "../../proto/peer-ticket.ts";
import { toServiceError } from "../../proto/status.ts";
import { channelOptions, networkOptions } from "../../proto/transport.ts";
import type { Fetcher } from "./fetcher.ts";
import type { Held } from "./held.ts";
import type { LazyImages } from "./lazy.ts";
import { listenAtPort, listenAtSocket, type PeerListener } from "./peer-listener.ts";

export interface GivingHost {
  /** The socket to make; undefined: on the network. */
  socket: string | undefined;
  /** What control makes tickets of; "" before it has welcomed us. */
  key(): string;
  images: Pick<LazyImages, "contentsOf">;
  fetcher: Pick<Fetcher, "underWay">;
  store: ContentFolder;
  partial: Pick<PartialBlobs, "arrived">;
  held: Pick<Held, "pathOf">;
}

/** Gives contents of images, those that are here or just arriving, to whoever shows the ticket for the image. */
export async function openGiving(host: GivingHost): Promise<PeerListener> {
  const { socket, store, fetcher } = host;

  /** The chunk that a want lies in, of a content that has chunks. */
  async function answer(image: string, want: FetchWant): Promise<FetchAnswer> {
    const { digest } = want;
    await fetcher.underWay(image)?.catch(() => {}); // its manifest; looked at next
    const contents = host.images.contentsOf(image);
    const index = contents?.indexOf(digest) ?? -1;
    if (!contents || (index < 0 && digest !== image))
      return { lacking: `blob ${digest.slice(0, 12)} is not of image ${image.slice(0, 12)} here` };
    const { chunks, chunkBytes } = index < 0 ? { chunks: 0, chunkBytes: 0 } : contents.pieces(index);
    const chunk = chunks > 0 ? Math.floor(want.offset / chunkBytes) : undefined;
    await fetcher.underWay(digest, chunk)?.catch(() => {});
    const held = host.held.pathOf(digest);
    if (held !== undefined) return { content: memoryContent(readFileSync(held)) }; // it may move any time, and is small
    const whole = async () => ({ content: await fileContent(store.path(digest), await store.size(digest), want.length) });
    if (store.has(digest)) return whole();
    if (chunk === undefined || host.partial.arrived(digest)?.[chunk] !== 1) {
      return store.has(digest) ? whole() : { lacking: `blob ${digest.slice(0, 12)} is not here` };
    }
    const { bytes } = contents.wanted(index);
    const content = await fileContent(partialPath(store.root, digest), bytes, want.length).catch(() => undefined); // it may have become whole
    return content ? { content } : whole();
  }

  const server = new Server(socket === undefined ? networkOptions : channelOptions);
  server.addService(ContentService, {
    fetch(stream: FetchStream) {
      const [image = "", ticket = ""] = ["image", "ticket"].map((name) => String(stream.metadata.get(name)[0] ?? ""));
      if (isPeerTicket(ticket, host.key(), image)) serveFetch(stream, (want) => answer(image, want));
      else
        stream.emit(
          "error",
          toServiceError(new HobError("precondition", `fetching from a node: the ticket is not for image ${image}`)),
        );
    },
  });
  return socket === undefined ? listenAtPort(server) : listenAtSocket(server, socket);
}
