// ⑤ For tests of fetching: a control that answers Content.Fetch as a test says, images made in memory, and a node's fetch room.

import { createCipheriv, createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "@grpc/grpc-js";
import { type FetchRoom, type FetchRoomOptions, openFetchRoom } from "../../agent/fetch/room.ts";
import { systemClock } from "../../base/clock.ts";
import { type ContentFolder, openContentFolder, sha256 } from "../../base/content-folder.ts";
import type { Log } from "../../base/log.ts";
import { pieceBytesOf } from "../../base/partial-blob.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { UNCHUNKED_BYTES } from "../../fusefs/image/manifest.ts";
import { type FetchAnswer, type FetchStream, memoryContent, serveFetch } from "../../proto/fetch-serving.ts";
import {
  ContentClient,
  type ContentServer,
  ContentService,
  type FetchPiece,
  type FetchWant,
} from "../../proto/gen/hob/v1/content.ts";
import { clientCredentials, contentChannelOptions, serverCredentials } from "../../proto/transport.ts";

const quiet = Object.fromEntries(["debug", "info", "warn", "error"].map((level) => [level, () => {}])) as unknown as Log;

export function makeFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "hob-fetch-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Bytes that do not compress, the same for the same name. */
export function bytesOf(name: string, size: number): Buffer {
  const key = createHash("sha256").update(name).digest();
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export interface TestImage {
  image: string;
  /** By digest, the manifest among them. */
  blobs: Map<string, Buffer>;
  digestOf(path: string): string;
}

export function makeImage(files: Record<string, Buffer>): TestImage {
  const blobs = new Map<string, Buffer>();
  const digests = new Map<string, string>();
  const entries = Object.entries(files).map(([path, data]): ManifestEntry => {
    const digest = sha256(data);
    blobs.set(digest, data);
    digests.set(path, digest);
    const chunks: string[] = [];
    const chunkBytes = pieceBytesOf(data.length);
    for (let at = 0; data.length > UNCHUNKED_BYTES && at < data.length; at += chunkBytes) {
      chunks.push(sha256(data.subarray(at, at + chunkBytes)));
    }
    const common = { path, mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1, mtimeNanoseconds: 0 };
    return { kind: "file", digest, size: data.length, ...(chunks.length > 0 ? { chunks } : {}), ...common };
  });
  const manifest = encodeManifest(entries);
  const image = sha256(manifest);
  blobs.set(image, manifest);
  return { image, blobs, digestOf: (path) => digests.get(path)! };
}

type TestAnswer = FetchAnswer | { raw: Omit<FetchPiece, "id">[] };

export interface TestControl extends Disposable {
  readonly socket: string;
  /** In the order in which they came. */
  readonly wants: FetchWant[];
  trace: Buffer;
  /** Answers wants; by default from `blobs`. "raw" pieces go out as they are. */
  answer(want: FetchWant, node: string): Promise<TestAnswer> | TestAnswer;
}

/** Serves at a socket: a control, or another node. */
export async function serveContents(socket: string, blobs: ReadonlyMap<string, Buffer>): Promise<TestControl> {
  const server = new Server(contentChannelOptions);
  const control: TestControl = {
    socket,
    wants: [],
    trace: Buffer.alloc(0),
    answer({ digest }) {
      const data = blobs.get(digest);
      return data ? { content: memoryContent(data) } : { lacking: `control lacks blob ${digest.slice(0, 12)}` };
    },
    [Symbol.dispose]: () => server.forceShutdown(),
  };
  const service: Pick<ContentServer, "getTrace" | "put"> = {
    getTrace: (_call, done) => done(null, { trace: control.trace }),
    put: (stream, done) => stream.resume().on("end", () => done(null, { blobs: 1, bytes: 0 })),
  };
  server.addService(ContentService, {
    ...service,
    fetch(stream: FetchStream) {
      const node = String(stream.metadata.get("node")[0] ?? "");
      serveFetch(stream, async (want) => {
        control.wants.push(want);
        const answer = await control.answer(want, node);
        if (!("raw" in answer)) return answer;
        stream.write({ pieces: answer.raw.map((piece) => ({ ...piece, id: want.id })), squeezed: Buffer.alloc(0) });
        return new Promise<never>(() => {}); // it has been answered
      });
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, serverCredentials(), (error) => (error ? reject(error) : resolve()));
  });
  return control;
}

export interface TestNode extends AsyncDisposable {
  readonly store: ContentFolder;
  readonly room: FetchRoom;
  readonly troubles: string[];
  readonly traces: Buffer[];
}

/** A node with folders of its own below `folder`; the same name finds the same folders again. */
export async function openTestNode(
  folder: string,
  name: string,
  control: Pick<TestControl, "socket">,
  changes: Partial<FetchRoomOptions> = {},
): Promise<TestNode> {
  const run = join(folder, name);
  mkdirSync(run, { recursive: true });
  const store = changes.store ?? openContentFolder(join(run, "store"), { durable: false });
  const client = new ContentClient(`unix:${control.socket}`, clientCredentials(`unix:${control.socket}`), contentChannelOptions);
  const troubles: string[] = [];
  const traces: Buffer[] = [];
  const room = await openFetchRoom({
    ...{ store, name, run, control: () => client, seen: async () => [], idle: () => true, readsPastUs: () => false },
    ...{ backfillBytesPerSecond: 0, controlAddress: `unix:${control.socket}` },
    ...{ clock: systemClock, log: quiet },
    traced: (_image, blob) => void traces.push(store.read(blob)),
    trouble: (_image, sentence) => void troubles.push(sentence),
    ...changes,
  });
  return {
    ...{ store, room, troubles, traces },
    async [Symbol.asyncDispose]() {
      await room[Symbol.asyncDispose]();
      client.close();
    },
  };
}
