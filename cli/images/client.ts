// ⑧ What the images commands ask of control: builds as they go, records, and the manifests themselves.

import type { ClientUnaryCall, ServiceError } from "@grpc/grpc-js";
import { ContentClient, GetRequest } from "../../proto/gen/hob/v1/content.ts";
import {
  BuildImageRequest,
  type CollectResponse,
  type ImageBuild,
  type ImageDetails,
  type ImageRecord,
  ImagesClient,
  type ListRecordsResponse,
  type RemoveImageResponse,
} from "../../proto/gen/hob/v1/images.ts";
import { fromServiceError } from "../../proto/status.ts";
import { channelOptions, clientCredentials } from "../../proto/transport.ts";

export interface ImageClient extends Disposable {
  readonly content: ContentClient;
  build(request: Partial<BuildImageRequest>, signal: AbortSignal): AsyncIterable<ImageBuild>;
  keep(image: ImageRecord): Promise<ImageRecord>;
  list(): Promise<ImageRecord[]>;
  show(image: string): Promise<ImageDetails>;
  remove(image: string): Promise<RemoveImageResponse>;
  collect(dryRun: boolean, unused: boolean): Promise<CollectResponse>;
  /** A whole blob. */
  blob(digest: string): Promise<Buffer>;
}

export function openImageClient(address: string): ImageClient {
  const images = new ImagesClient(address, clientCredentials(address), channelOptions);
  const shared = { ...channelOptions, channelOverride: images.getChannel() };
  const content = new ContentClient(address, clientCredentials(address), shared);
  return {
    content,
    async *build(request, signal) {
      const stream = images.build(BuildImageRequest.fromPartial(request));
      const cancel = (): void => stream.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      try {
        for await (const event of stream) yield event as ImageBuild;
      } catch (error) {
        signal.throwIfAborted();
        throw fromServiceError(error);
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
    keep: (image) => ask<ImageRecord>((done) => images.keep({ image }, done)),
    list: async () => (await ask<ListRecordsResponse>((done) => images.list({}, done))).images,
    show: (image) => ask<ImageDetails>((done) => images.show({ image }, done)),
    remove: (image) => ask<RemoveImageResponse>((done) => images.remove({ image }, done)),
    collect: (dryRun, unused) => ask<CollectResponse>((done) => images.collect({ dryRun, unused }, done)),
    async blob(digest) {
      const pieces: Buffer[] = [];
      try {
        for await (const { data } of content.get(GetRequest.fromPartial({ digests: [digest] }))) pieces.push(data);
      } catch (error) {
        throw fromServiceError(error);
      }
      return Buffer.concat(pieces);
    },
    [Symbol.dispose]: () => images.close(),
  };
}

/** However long it takes: control looks at every blob for some of these. */
function ask<Answer>(send: (done: (error: ServiceError | null, answer: Answer) => void) => ClientUnaryCall): Promise<Answer> {
  return new Promise((resolve, reject) => {
    send((error, answer) => (error ? reject(fromServiceError(error)) : resolve(answer)));
  });
}
