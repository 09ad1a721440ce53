// A control for the client's tests: speaks the protocol truly (digests, bases, what is missing), and runs calls as the test says.

import { Server, type ServerDuplexStream } from "@grpc/grpc-js";
import { sha256 } from "../../base/content-folder.ts";
import { applyDifference, canonicalText, type Snapshot, snapshotOf } from "../../project/snapshot.ts";
import {
  CallInfo,
  type CallsServer,
  CallsService,
  type ClientMessage,
  type SessionEvent,
  type SessionEvents,
  type Watch,
} from "../../proto/gen/hob/v1/calls.ts";
import type { Failure, Version } from "../../proto/gen/hob/v1/common.ts";
import { type ContentServer, ContentService } from "../../proto/gen/hob/v1/content.ts";
import type { Publish, StartCall } from "../../proto/gen/hob/v1/registry.ts";
import { channelOptions, serverCredentials, unixAddress } from "../../proto/transport.ts";

type Message = NonNullable<ClientMessage["message"]>;

export interface ControlDouble extends AsyncDisposable {
  readonly address: string;
  /** Everything that arrived, in order. */
  readonly messages: Message[];
  readonly publishes: Publish[];
  readonly blobs: Map<string, Buffer>;
  readonly versions: Map<string, Version>;
  /** Text of a file as the last published snapshot has it. */
  file(path: string): string | undefined;
  /** Set by a test: refuses to load. */
  loadFailure: Failure | undefined;
  /** Set by a test: refuses every publish. */
  publishFailure: Failure | undefined;
  /** Set by a test: calls are accepted and stay running. */
  holdCalls: boolean;
  /** Set by a test: called when a client asks what is missing, which is said once it has resolved. */
  askedMissing: () => Promise<void>;
  finish(call: string, value: unknown): void;
  send(event: NonNullable<SessionEvent["event"]>): void;
}

export async function startControlDouble(socket: string): Promise<ControlDouble> {
  const messages: Message[] = [];
  const publishes: Publish[] = [];
  const blobs = new Map<string, Buffer>();
  const snapshots = new Map<string, Snapshot>();
  const versions = new Map<string, Version>();
  const running = new Map<string, CallInfo>();
  const streams = new Set<ServerDuplexStream<ClientMessage, SessionEvents>>();
  let latest = "";

  const send = (event: NonNullable<SessionEvent["event"]>): void => {
    for (const stream of streams) stream.write({ events: [{ event }] });
  };

  const control: ControlDouble = {
    address: unixAddress(socket),
    messages,
    publishes,
    blobs,
    versions,
    loadFailure: undefined,
    publishFailure: undefined,
    holdCalls: false,
    askedMissing: async () => {},
    file: (path) => blobs.get(snapshots.get(latest)?.files.get(path)?.digest ?? "")?.toString(),
    send,
    finish(id, value) {
      const call = running.get(id);
      if (!call) throw new Error(`no call ${id} is running`);
      running.delete(id);
      const steps = [{ name: "run", ms: 0.5 }];
      const call2 = {
        ...call,
        state: "succeeded",
        result: { json: Buffer.from(JSON.stringify(value)), large: undefined },
        finishedAtMs: Date.now(),
        steps,
      };
      send({ $case: "call", value: { call: call2 } });
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };

  function takePublish(publish: Publish): void {
    publishes.push(publish);
    const { id, app, snapshot, bundles } = publish;
    if (!snapshot) throw new Error("a publish without a snapshot");
    if (control.publishFailure) {
      send({ $case: "published", value: { id, app, snapshot: snapshot.digest, missing: [], failure: control.publishFailure } });
      return;
    }
    for (const { digest, data } of [...snapshot.blobs, ...bundles]) {
      if (sha256(data) !== digest) throw new Error(`blob ${digest} is not what it says`);
      blobs.set(digest, data);
    }
    const base = snapshot.base ? snapshots.get(snapshot.base) : snapshotOf([]);
    const needed = [
      ...snapshot.changed.map((file) => file.digest),
      ...publish.versions.map((version) => version.bundle).filter(Boolean),
    ];
    const missing = needed.filter((digest) => !blobs.has(digest));
    if (!base) missing.push(snapshot.base);
    const answer = { id, app, snapshot: snapshot.digest, missing, failure: undefined };
    if (!base || missing.length > 0) {
      send({ $case: "published", value: answer });
      return;
    }
    const next = applyDifference(base, snapshot);
    if (next.digest !== snapshot.digest || sha256(canonicalText(next.files)) !== snapshot.digest)
      throw new Error("the snapshot is not what it says");
    snapshots.set(next.digest, next);
    latest = next.digest;
    for (const version of publish.versions) versions.set(`${app}/${version.function}`, version);
    for (const name of publish.removed) versions.delete(`${app}/${name}`);
    send({ $case: "published", value: answer });
    if (publish.versions.length > 0) {
      const functions = publish.versions.map((version) => version.function);
      const tier = publish.changes[0]?.tier ?? "fork";
      send({
        $case: "reloaded",
        value: {
          publish: id,
          app,
          functions,
          tier,
          loadMs: 0.01,
          containers: 1,
          container: "c",
          node: "n",
          reason: "",
          failure: control.loadFailure,
        },
      });
    }
    for (const call of publish.calls) takeCall(call);
  }

  function takeCall(start: StartCall): void {
    const { id, app, version, arguments: given, origin } = start;
    const call = CallInfo.fromPartial({
      id,
      app,
      function: start.function,
      version,
      state: "running",
      arguments: given!,
      origin,
    });
    running.set(id, call);
    send({ $case: "call", value: { call } });
    if (!control.holdCalls) control.finish(id, JSON.parse(given!.positional.toString()));
  }

  function takeWatch({ apps }: Watch): void {
    const states = apps.map((app) => ({
      app,
      versions: [...versions].filter(([key]) => key.startsWith(`${app}/`)).map(([, version]) => version),
      recent: [],
      maps: [],
    }));
    send({ $case: "watching", value: { apps: states } });
  }

  const calls: CallsServer = {
    session(stream) {
      stream.on("data", ({ message }: ClientMessage) => {
        if (!message) return;
        messages.push(message);
        if (message.$case === "open") {
          streams.add(stream);
          stream.write({
            events: [{ event: { $case: "opened", value: { control: "double", build: "test", nowMs: Date.now() } } }],
          });
          for (const id of message.value.calls) {
            const call =
              running.get(id) ??
              CallInfo.fromPartial({ id, state: "failed", failure: { kind: "infrastructure", message: "lost" } });
            stream.write({ events: [{ event: { $case: "call", value: { call } } }] });
          }
        } else if (message.$case === "publish") takePublish(message.value);
        else if (message.$case === "call") takeCall(message.value);
        else if (message.$case === "watch") takeWatch(message.value);
      });
      stream.on("end", () => stream.end());
      stream.on("close", () => streams.delete(stream));
      stream.on("cancelled", () => streams.delete(stream));
    },
    listCalls: (_call, done) => done(null, { calls: [] }),
    logs: (stream) => stream.end(),
    map: (stream) => stream.end(),
    listMaps: (_call, done) => done(null, { maps: [] }),
    inspect: (_call, done) => done(null, { frames: [], reason: "there are no processes here" }),
  };
  const content: ContentServer = {
    missing: ({ request }, done) =>
      void control.askedMissing().then(() => done(null, { digests: request.digests.filter((digest) => !blobs.has(digest)) })),
    put(stream, done) {
      const pieces = new Map<string, Buffer[]>();
      let bytes = 0;
      stream.on("data", ({ digest, data, last }) => {
        bytes += data.length;
        pieces.set(digest, [...(pieces.get(digest) ?? []), data]);
        if (!last) return;
        const whole = Buffer.concat(pieces.get(digest)!);
        if (sha256(whole) !== digest) throw new Error("a put blob is not what it says");
        blobs.set(digest, whole);
      });
      stream.on("end", () => done(null, { blobs: pieces.size, bytes }));
    },
    get: (stream) => stream.end(),
    fetch: (stream) => stream.end(),
    getTrace: (_call, done) => done(null, { trace: Buffer.alloc(0) }),
  };
  const server = new Server(channelOptions);
  server.addService(CallsService, calls);
  server.addService(ContentService, content);
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(control.address, serverCredentials(), (error) => (error ? reject(error) : resolve())),
  );
  return control;
}
