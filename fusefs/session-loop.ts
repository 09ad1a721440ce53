// ⑤ A worker's loop: waits for any of its mounts, reads one request, answers it. Three system calls a request, nothing allocated.

import { openBackingTable } from "./backing-table.ts";
import { createBlobFiles } from "./blobs.ts";
import { viewManifest } from "./image/manifest.ts";
import { createNearness, REST_MS } from "./nearness.ts";
import { createReadLog } from "./read-log.ts";
import { MAX_READ_BYTES, REQUEST_BYTES } from "./session.ts";
import { createEpoll, lastErrno, read, write } from "./syscalls.ts";
import { type Binding, createHandlers, DEFERRED, type Handler, NO_REPLY, type Request, type ServedMount } from "./tree.ts";
import { createRoots } from "./tree-roots.ts";
import { epoll, errno } from "./wire/constants.ts";
import { OPCODE_LIMIT, opcodeRows, opcodeTable } from "./wire/opcodes.ts";
import { createReply } from "./wire/reply.ts";
import { inHeader, outHeader } from "./wire/structs.ts";
import type { FromWorker, SharedBinding, ToWorker, WorkerData } from "./worker-messages.ts";

/** Slots of the shared counters behind those of the opcodes. */
export const PASSTHROUGH_SLOT = OPCODE_LIMIT;
export const COUNT_SLOTS = OPCODE_LIMIT + 1;

const WAKE_TAG = 0xffff_ffff;

const viewBinding = ({ high, manifest, backing, backingFile, reads }: SharedBinding): Binding => ({
  ...{ high, manifest: viewManifest(manifest, 0, manifest.byteLength), backing: openBackingTable(backing, backingFile) },
  reads: reads && createReadLog(reads),
});

/** Payload of a good answer by opcode; -1 where it varies. */
const replyBytes = Int32Array.from(opcodeRows, (row) => (typeof row?.reply === "number" ? row.reply : -1));

export interface WorkerLink {
  send(message: FromWorker): void;
  /** The next message from the main thread, or undefined. Never blocks. */
  receive(): ToWorker | undefined;
}

/** Serves until told to stop. Blocks the thread. */
export function runSessionLoop(data: WorkerData, link: WorkerLink): void {
  const counts = new Float64Array(data.counts);
  const mounts = new Map<number, ServedMount>();
  const waiting = new Map<string, { mount: ServedMount; bytes: Buffer }>();
  const queue = createEpoll();
  const wakeBuffer = Buffer.alloc(8);
  const nearness = createNearness();
  const reply = createReply(MAX_READ_BYTES);
  const request: Request = {
    buffer: Buffer.from(new ArrayBuffer(REQUEST_BYTES)),
    bytes: 0,
    node: { high: 0, low: 0 },
    retried: false,
    need: undefined,
  };
  let running = true;

  const handlers = createHandlers({
    reply,
    blobs: createBlobFiles(data.store),
    countPassthrough: () => {
      (counts[PASSTHROUGH_SLOT] as number)++;
    },
    interrupt: (mount, unique) => link.send({ kind: "interrupt", mount: mount.id, unique }),
    catchUp: takeMessages,
  });
  const answers = opcodeRows.map((row) =>
    typeof row?.answer === "string" && row.answer !== "silent" ? handlers[row.answer] : undefined,
  );

  /** Without the uppermost bit, which says that the request was sent again (FUSE_UNIQUE_RESEND). */
  const uniqueOf = (buffer: Buffer): number =>
    buffer.readUInt32LE(inHeader.unique) + (buffer.readUInt32LE(inHeader.unique + 4) & 0x7fff_ffff) * 0x1_0000_0000;

  function end(mount: ServedMount): void {
    if (!mounts.delete(mount.id)) return;
    queue.remove(mount.fd);
    for (const binding of mount.bindings) binding?.backing.close();
    for (const [key, deferred] of waiting) if (deferred.mount === mount) waiting.delete(key);
    link.send({ kind: "ended", worker: data.worker, mount: mount.id });
  }

  /** `payload`: bytes already in the reply buffer, or a negative errno. */
  function send(mount: ServedMount, payload: number): void {
    const bytes = outHeader.sizeof + Math.max(0, payload);
    reply.view.setUint32(outHeader.len, bytes, true);
    reply.view.setInt32(outHeader.error, Math.min(0, payload), true);
    reply.view.setUint32(outHeader.unique, request.buffer.readUInt32LE(inHeader.unique), true);
    reply.view.setUint32(outHeader.unique + 4, request.buffer.readUInt32LE(inHeader.unique + 4), true);
    if (write(mount.fd, reply.buffer, bytes) >= 0) return;
    const failed = lastErrno();
    // ENOENT: the request was interrupted, or its connection aborted, meanwhile. Nobody waits for the answer.
    if (failed === errno.ENODEV || failed === errno.ECONNABORTED) end(mount);
    else if (failed !== errno.ENOENT)
      link.send({ kind: "fault", worker: data.worker, text: `answering a request: errno ${failed}` });
  }

  function answer(mount: ServedMount): void {
    const { buffer } = request;
    const opcode = buffer.readUInt32LE(inHeader.opcode);
    const row = opcode < OPCODE_LIMIT ? opcodeRows[opcode] : undefined;
    if (row && !request.retried) (counts[opcode] as number)++;
    const tooShort = row !== undefined && request.bytes < inHeader.sizeof + row.bodyBytes;
    const fixed = !row ? errno.ENOSYS : tooShort ? errno.EINVAL : row.answer;
    if (typeof fixed === "number") send(mount, -fixed);
    else if (fixed !== "silent") handle(mount, opcode, answers[opcode] as Handler);
  }

  function handle(mount: ServedMount, opcode: number, handler: Handler): void {
    const { buffer } = request;
    request.node.low = buffer.readUInt32LE(inHeader.nodeid);
    request.node.high = buffer.readUInt32LE(inHeader.nodeid + 4);
    let result: number;
    try {
      result = handler(mount, request);
    } catch (error) {
      link.send({
        kind: "fault",
        worker: data.worker,
        text: `opcode ${opcode}: ${error instanceof Error ? error.stack : String(error)}`,
      });
      result = -errno.EIO;
    }
    const expected = replyBytes[opcode] as number;
    if (result > 0 && expected >= 0 && result !== expected) {
      link.send({ kind: "fault", worker: data.worker, text: `opcode ${opcode}: answered ${result} bytes, not ${expected}` });
      result = -errno.EIO; // the kernel would refuse it with EINVAL, and its caller wait for ever
    }
    if (result === DEFERRED) defer(mount);
    else if (result !== NO_REPLY) send(mount, result);
  }

  function defer(mount: ServedMount): void {
    const { need } = request;
    if (!need) throw new Error("a request was deferred without saying what it needs");
    const unique = uniqueOf(request.buffer);
    waiting.set(`${mount.id}:${unique}`, { mount, bytes: Buffer.from(request.buffer.subarray(0, request.bytes)) });
    link.send({ kind: "deferred", worker: data.worker, mount: mount.id, unique, need });
  }

  function resume(key: string, failed: number): void {
    const deferred = waiting.get(key);
    if (!deferred) return; // its mount ended
    waiting.delete(key);
    deferred.bytes.copy(request.buffer);
    request.bytes = deferred.bytes.length;
    request.retried = true;
    if (failed === 0) answer(deferred.mount);
    else send(deferred.mount, -failed);
    request.retried = false;
  }

  // What resume() does reuses the request buffer: while a request is being answered, resumptions wait here.
  const resumptions: { key: string; failed: number }[] = [];

  function take(message: ToWorker): void {
    if (message.kind === "stop") {
      running = false;
      return;
    }
    if (message.kind === "mount") {
      const { mount: id, fd, passthrough, shows } = message;
      const bindings: (Binding | undefined)[] = [];
      for (const binding of message.bindings) bindings[binding.high] = viewBinding(binding);
      const roots = shows === "snapshots" ? createRoots() : undefined;
      for (const { name, number } of message.roots?.containers ?? []) roots?.addContainer(name, number);
      for (const { container, snapshot, high } of message.roots?.snapshots ?? []) roots?.addSnapshot(container, snapshot, high);
      mounts.set(id, { id, fd, passthrough, roots, isBlobFolder: shows === "blobs", bindings });
      const failed = queue.add(fd, id, epoll.in | epoll.exclusive);
      if (failed !== 0) link.send({ kind: "fault", worker: data.worker, text: `watching mount ${id}: errno ${failed}` });
      return;
    }
    const mount = mounts.get(message.mount);
    if (!mount) return; // it ended while the message was on its way
    if (message.kind === "bind") mount.bindings[message.binding.high] = viewBinding(message.binding);
    else if (message.kind === "unbind") unbind(mount, message.high);
    else if (message.kind === "addContainer") mount.roots?.addContainer(message.container, message.number);
    else if (message.kind === "removeContainer") mount.roots?.removeContainer(message.container);
    else if (message.kind === "addSnapshot") mount.roots?.addSnapshot(message.container, message.snapshot, message.high);
    else if (message.kind === "removeSnapshot") mount.roots?.removeSnapshot(message.container, message.snapshot);
    else resumptions.push({ key: `${message.mount}:${message.unique}`, failed: message.errno });
  }

  function unbind(mount: ServedMount, high: number): void {
    mount.bindings[high]?.backing.close();
    delete mount.bindings[high];
  }

  function takeMessages(): void {
    for (let message = link.receive(); message; message = link.receive()) take(message);
  }

  function serve(mount: ServedMount): void {
    const bytes = read(mount.fd, request.buffer);
    if (bytes >= inHeader.sizeof) {
      request.bytes = bytes;
      if (!mount.roots) nearness.asked(request.buffer.readUInt32LE(inHeader.pid));
      answer(mount);
      return;
    }
    const failed = bytes < 0 ? lastErrno() : errno.EIO;
    // EAGAIN: another worker was faster. ENOENT: the request was interrupted before it was read.
    if (failed === errno.EAGAIN || failed === errno.EINTR || failed === errno.ENOENT) return;
    end(mount); // ENODEV, ECONNABORTED: both are the end of a connection
  }

  queue.add(data.eventfd, WAKE_TAG, epoll.in);
  for (const row of opcodeTable) counts[row.opcode] = 0;
  while (running) {
    const ready = queue.wait(nearness.bound ? REST_MS : -1);
    if (ready === 0) nearness.rest();
    for (let i = 0; i < ready; i++) {
      const tag = queue.tag(i);
      if (tag === WAKE_TAG) {
        read(data.eventfd, wakeBuffer);
        takeMessages();
      } else {
        const mount = mounts.get(tag);
        if (mount) serve(mount);
      }
    }
    for (let next = resumptions.shift(); next; next = resumptions.shift()) resume(next.key, next.failed);
  }
  queue.close();
}
