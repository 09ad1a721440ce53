// ⑤ Nodes fetch from each other: the streams to those that give to this one.

import { HobError } from "../../base/errors.ts";
import { ContentClient, type FetchElsewhere } from "../../proto/gen/hob/v1/content.ts";
import { contentChannelOptions, peerCredentials } from "../../proto/transport.ts";
import { createSource, type Source } from "./source.ts";

/** Streams kept to other nodes; of more the one that was used the longest ago ends. */
const keptStreams = 16;
/** A firewall may say nothing: whoever does not answer by then is left for control. */
const connectMs = 1_500;

export interface Takings extends Disposable {
  from(where: FetchElsewhere, image: string): Source;
}

/** `control`: its address, whose authority vouches for nodes on the network. */
export function createTakings(control: string): Takings {
  const open = new Map<string, { source: Source; client: ContentClient }>(); // longest unused first

  function end(key: string, reason = new HobError("cancelled", "its stream is not kept")): void {
    const entry = open.get(key);
    open.delete(key);
    entry?.source.end(reason);
    entry?.client.close();
  }

  return {
    from(where, image) {
      const key = `${where.address} ${image} ${where.ticket}`;
      let entry = open.get(key);
      if (!entry) {
        const client = new ContentClient(where.address, peerCredentials(control, where), contentChannelOptions);
        client.waitForReady(Date.now() + connectMs, (error) => {
          if (error && open.get(key)?.client === client)
            end(key, new HobError("unavailable", `node ${where.node} cannot be reached at ${where.address}`));
        });
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
