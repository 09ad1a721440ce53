// ⑤ Nodes fetch from each other: what this one gives, to whom control has given a ticket, and the streams to those that give to it.

import { rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { Server } from "@grpc/grpc-js";
import type { ContentFolder } from "../../base/content-folder.ts";
import { HobError, systemError } from "../../base/errors.ts";
import { type PartialBlobs, partialPath } from "../../base/partial-blob.ts";
import { type FetchAnswer, type FetchStream, fileContent, serveFetch } from "../../proto/fetch-serving.ts";
import { ContentClient, ContentService, type FetchElsewhere, type FetchWant } from "../../proto/gen/hob/v1/content.ts";
import { isPeerTicket } from "../../proto/peer-ticket.ts";
import { toServiceError } from "../../proto/status.ts";
import { channelOptions, clientCredentials, contentChannelOptions, serverCredentials } from "../../proto/transport.ts";
import type { Fetcher } from "./fetcher.ts";
import type { LazyImages } from "./lazy.ts";
import { createSource, type Source } from "./source.ts";

export interface GivingHost {
  /** The socket to make. */
  socket: string;
  /** What control makes tickets of; "" before it has welcomed us. */
  key(): string;
  images: Pick<LazyImages, "contentsOf">;
  fetcher: Pick<Fetcher, "underWay">;
  store: ContentFolder;
  partial: Pick<PartialBlobs, "arrived">;
}

/** Gives contents of images, those that are here or just arriving, to whoever shows the ticket for the image. */
export async function openGiving(host: GivingHost): Promise<{ address: string } & Disposable> {
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
    const whole = async () => ({ content: await fileContent(store.path(digest), await store.size(digest), want.length) });
    if (store.has(digest)) return whole();
    if (chunk === undefined || host.partial.arrived(digest)?.[chunk] !== 1) {
      return store.has(digest) ? whole() : { lacking: `blob ${digest.slice(0, 12)} is not here` };
    }
    const { bytes } = contents.wanted(index);
    const content = await fileContent(partialPath(store.root, digest), bytes, want.length).catch(() => undefined); // it may have become whole
    return content ? { content } : whole();
  }

  const server = new Server(channelOptions);
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
  rmSync(socket, { force: true });
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${socket}`, serverCredentials(), (error) => (error ? reject(error) : resolve()));
    });
    await chmod(socket, 0o600);
  } catch (error) {
    server.forceShutdown();
    throw systemError(`listening on ${socket}`, error);
  }
  return {
    address: `unix:${socket}`,
    [Symbol.dispose]() {
      server.forceShutdown();
      rmSync(socket, { force: true });
    },
  };
}

/** Streams kept to other nodes; of more the one that was used the longest ago ends. */
const keptStreams = 16;

export interface Takings extends Disposable {
  from(where: FetchElsewhere, image: string): Source;
}

export function createTakings(): Takings {
  const open = new Map<string, { source: Source; client: ContentClient }>(); // longest unused first

  function end(key: string): void {
    const entry = open.get(key);
    open.delete(key);
    entry?.source[Symbol.dispose]();
    entry?.client.close();
  }

  return {
    from(where, image) {
      const key = `${where.address} ${image} ${where.ticket}`;
      let entry = open.get(key);
      if (!entry) {
        const client = new ContentClient(where.address, clientCredentials(where.address), contentChannelOptions);
        const metadata = { image, ticket: where.ticket };
        entry = { source: createSource(() => client, { name: `node ${where.node}`, metadata, patient: false }), client };
      }
      open.delete(key);
      open.set(key, entry);
      if (open.size > keptStreams) end(open.keys().next().value as string);
      return entry.source;
    },
    [Symbol.dispose]() {
      for (const key of [...open.keys()]) end(key);
    },
  };
}
