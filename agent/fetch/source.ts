// ⑤ One stream of Content.Fetch: to control, or to another node. Wants go out together, pieces come back; dialled at the first want.

import { type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { HobError } from "../../base/errors.ts";
import { createBatch } from "../../proto/batch.ts";
import type {
  ContentClient,
  FetchElsewhere,
  FetchPiece,
  FetchPieces,
  FetchWant,
  FetchWants,
} from "../../proto/gen/hob/v1/content.ts";
import { createUnsqueezer, type Unsqueezer } from "../../proto/squeeze.ts";
import { fromServiceError } from "../../proto/status.ts";

type WantItem = Omit<FetchWant, "id">;

/** What becomes of a want; `lacking`, `elsewhere` and `failed` are the last that is heard of it. */
interface WantEvents {
  /** `carried`: bytes that came over the link for it. */
  data(data: Buffer, last: boolean, carried: number): void;
  lacking(why: string): void;
  elsewhere(where: FetchElsewhere): void;
  /** The stream ended before the last piece. */
  failed(error: HobError): void;
}

export interface Asked {
  /** It is urgent now. */
  hurry(): void;
  cancel(): void;
}

export interface Source extends Disposable {
  /** As sentences name it: "control", "node b". */
  readonly name: string;
  ask(want: WantItem, events: WantEvents): Asked;
  /** It is not to be reached: whoever asked hears of it. */
  end(reason: HobError): void;
}

export interface SourceOptions {
  name: string;
  /** Goes with the stream: who asks, or what entitles us. */
  metadata: Readonly<Record<string, string>>;
  /** Wait for as long as it takes to connect; otherwise a source that does not answer fails at once. */
  patient: boolean;
}

export function createSource(client: () => Pick<ContentClient, "fetch">, options: SourceOptions): Source {
  type Line = { want: FetchWant } | { cancelled: number } | { hurried: number };
  let stream: ClientDuplexStream<FetchWants, FetchPieces> | undefined;
  let outgoing = createBatch<Line>(() => true);
  const asked = new Map<number, WantEvents>();
  let nextId = 1;
  let over: HobError | undefined;

  function dial(): void {
    const metadata = new Metadata({ waitForReady: options.patient });
    for (const [key, value] of Object.entries(options.metadata)) metadata.set(key, value);
    const current = client().fetch(metadata);
    stream = current;
    outgoing = createBatch<Line>((lines) => {
      const wants = lines.flatMap((line) => ("want" in line ? [line.want] : []));
      const cancelled = lines.flatMap((line) => ("cancelled" in line ? [line.cancelled] : []));
      const hurried = lines.flatMap((line) => ("hurried" in line ? [line.hurried] : []));
      return current.write({ wants, cancelled, hurried });
    });
    let unsqueezer: Unsqueezer | undefined;
    let queue: Promise<void> | undefined; // messages are taken in the order in which they came
    async function takeSqueezed({ pieces, squeezed }: FetchPieces): Promise<void> {
      const bytes = pieces.reduce((sum, { squeezedFrom }) => sum + squeezedFrom, 0);
      if (bytes > 0) unsqueezer ??= createUnsqueezer();
      const data = bytes > 0 && unsqueezer ? await unsqueezer.unsqueeze(squeezed, bytes) : squeezed;
      // What it carried is counted with the pieces, each by its share.
      let at = 0;
      for (const piece of pieces) {
        const { squeezedFrom } = piece;
        if (squeezedFrom === 0) take(piece, piece.data.length);
        else take({ ...piece, data: data.subarray(at, at + squeezedFrom) }, (squeezed.length * squeezedFrom) / bytes);
        at += squeezedFrom;
      }
    }
    current.on("data", (message: FetchPieces) => {
      if (!queue && message.squeezed.length === 0) {
        for (const piece of message.pieces) take(piece, piece.data.length);
        return;
      }
      const taken = (queue ?? Promise.resolve()).then(() => (stream === current ? takeSqueezed(message) : undefined));
      queue = taken;
      taken.then(
        () => {
          if (queue === taken) queue = undefined;
        },
        (error) => {
          current.cancel();
          ended(error);
        },
      );
    });
    const ended = (error: unknown): void => {
      unsqueezer?.[Symbol.dispose]();
      if (stream !== current) return;
      stream = undefined;
      outgoing.close();
      const cause = fromServiceError(error);
      const failed =
        cause instanceof HobError ? cause : new HobError("unavailable", `${options.name} ended the stream`, { cause });
      const lost = [...asked.values()];
      asked.clear();
      for (const events of lost) events.failed(failed);
    };
    current.on("error", ended);
    current.on("end", () => ended(new HobError("unavailable", `${options.name} ended the stream`)));
  }

  function take({ id, data, last, lacking, elsewhere }: FetchPiece, carried: number): void {
    const events = asked.get(id);
    if (!events) return; // cancelled
    if (last) asked.delete(id);
    if (lacking) events.lacking(lacking);
    else if (elsewhere) events.elsewhere(elsewhere);
    else events.data(data, last, carried);
  }

  function end(reason: HobError): void {
    over = reason;
    outgoing.close();
    stream?.on("error", () => {});
    const lost = [...asked.values()];
    asked.clear();
    stream?.cancel();
    stream = undefined;
    for (const events of lost) events.failed(reason);
  }

  return {
    name: options.name,
    ask(item, events) {
      if (over) {
        const reason = over;
        queueMicrotask(() => events.failed(reason));
        return { hurry() {}, cancel() {} };
      }
      const id = nextId++;
      asked.set(id, events);
      if (!stream) dial();
      outgoing.add({ want: { ...item, id } });
      return {
        hurry: () => void (asked.has(id) && outgoing.add({ hurried: id })),
        cancel: () => void (asked.delete(id) && outgoing.add({ cancelled: id })),
      };
    },
    end,
    [Symbol.dispose]: () => end(new HobError("cancelled", "the node is ending")),
  };
}
