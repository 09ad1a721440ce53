// ⑥ Frames between the agent and a runner: docs/runner-protocol.md is the specification, this table and codec are the agent's side.

import { HobError } from "../../base/errors.ts";
import type { FrameLocals } from "../../proto/gen/hob/v1/calls.ts";
import type { Failure } from "../../proto/gen/hob/v1/common.ts";
import type { LoadedVersion, Patch } from "./runner.ts";

export interface RequestHead {
  kind: string; // "function" | "asgi" | "fetch"
  method: string;
  path: string;
  prefix: string;
  query: string;
  headers: [name: string, value: string][];
  parameters: Record<string, string>;
  origin: string;
  client: string;
}

export interface ResponseHead {
  status: number;
  headers: [name: string, value: string][];
}

/** One row a frame: its number on the wire, and its head. Bytes that are not ours to read travel as payload, their sizes in the head. */
export interface FrameHeads {
  // agent → runner
  load: {
    load: number;
    app: string;
    snapshot: string;
    base: string;
    changed: { path: string; digest: string }[];
    removed: string[];
    blobs: { digest: string; size: number }[];
    versions: LoadedVersion[];
    patches: Patch[];
    secrets: Record<string, string>;
    retire: string[];
  };
  /** With `request`, which the call answers, `positional` is the size of its body. */
  call: {
    call: string;
    snapshot: string;
    version: string;
    function: string;
    positional: number;
    keywords: number;
    request?: RequestHead;
    keepFrames?: boolean; // should it fail, for `inspect`
  };
  cancel: { call: string } | { load: number } | { inputs: number };
  inputs: {
    inputs: number; // the agent's number for them
    map: string;
    snapshot: string;
    version: string;
    function: string;
    indexes: number[];
    sizes: number[];
    keywords?: number[]; // bytes of each input's keywords; absent when no input has keywords
  };
  mapNews: {
    map: string;
    recorded?: number; // inputs below this index are kept
    until?: number; // inputs below this index may be sent
    indexes?: number[]; // of the results in the payload
    sizes?: number[]; // -1: the next of `failures`
    failures?: Failure[];
    finished?: boolean; // nothing more comes
    failure?: Failure; // of the map as a whole
  };
  childResult: { id: string; failure?: Failure };
  taken: { call: string; bytes: number; gone?: boolean }; // of its streamed response, so far; gone: nobody reads it
  finish: Record<string, never>;
  rouse: Record<string, never>;
  inspect: { call: string }; // which has failed
  // runner → agent
  ready: { protocol: number; language: "python" | "typescript"; interpreter: string };
  loaded: { load: number; tier?: "patch" | "fork"; reason?: string; failure?: Failure };
  started: { call: string; timeMs: number } | { inputs: number; timeMs: number };
  output: { call: string; index?: number; stream: "stdout" | "stderr"; timeMs: number; dropped: number };
  result: { call: string; runMs: number; droppedBytes?: number; failure?: Failure; response?: ResponseHead };
  part: { call: string; response?: ResponseHead }; // of a streamed response: the first has its head
  childCall: {
    id: string;
    parent: string;
    app: string;
    function: string;
    origin: "function" | "spawn";
    positional: number;
    keywords: number;
  };
  childCancel: { id: string };
  childWait: { id: string };
  unloaded: { snapshot: string };
  results: {
    inputs: number;
    first: number; // position of the first of these
    sizes: number[]; // -1: the next of `failures`
    failures: Failure[];
    runMs: number;
    droppedBytes?: number;
    last?: boolean; // nothing more comes
    failure?: Failure; // of the input at `guilty`, else of all that have no result
    guilty?: number;
  };
  map: { map: string; parent: string; app: string; function: string; ordered: boolean; spawned: boolean };
  mapInputs: { map: string; first: number; sizes: number[]; last: boolean };
  mapTake: { map: string; results: number };
  mapCancel: { map: string };
  inspected: { call: string; frames?: FrameLocals[]; reason?: string };
}

export const frameNumbers: { readonly [K in keyof FrameHeads]: number } = {
  load: 1,
  call: 2,
  cancel: 3,
  childResult: 4,
  finish: 5,
  rouse: 6,
  inputs: 7,
  mapNews: 8,
  taken: 9,
  inspect: 10,
  ready: 65,
  loaded: 66,
  started: 67,
  output: 68,
  result: 69,
  childCall: 70,
  childCancel: 71,
  unloaded: 72,
  results: 73,
  map: 74,
  mapInputs: 75,
  mapTake: 76,
  mapCancel: 77,
  childWait: 78,
  part: 79,
  inspected: 80,
};

export const protocolVersion = 1;
export const maxFrameBytes = 256 << 20;
const maxHeadBytes = 16 << 20;
const prefixBytes = 9; // u32 length of the rest, u8 type, u32 length of the head

type FrameName = keyof FrameHeads;
export type Frame = { [K in FrameName]: { name: K; head: FrameHeads[K]; payload: Buffer } }[FrameName];

const names = new Map<number, FrameName>(Object.entries(frameNumbers).map(([name, number]) => [number, name as FrameName]));

/** The frame as pieces to be written one after the other; payload is not copied. */
export function encodeFrame<K extends FrameName>(
  name: K,
  head: FrameHeads[K],
  payload: readonly Uint8Array[] = [],
): Uint8Array[] {
  const text = JSON.stringify(head);
  const headBytes = Buffer.byteLength(text);
  const rest = payload.reduce((sum, piece) => sum + piece.byteLength, 5 + headBytes);
  if (rest > maxFrameBytes) {
    throw new HobError("usage", `a ${name} message of ${rest >> 20} MiB is over the limit of ${maxFrameBytes >> 20} MiB`, {
      remedy: "put large data into a file and pass its path",
    });
  }
  const front = Buffer.allocUnsafe(prefixBytes + headBytes);
  front.writeUInt32BE(rest, 0);
  front.writeUInt8(frameNumbers[name], 4);
  front.writeUInt32BE(headBytes, 5);
  front.write(text, prefixBytes);
  return [front, ...payload];
}

/** Takes pieces of any size, gives whole frames. Throws HobError "corrupt" for what cannot be a frame; nothing after it can be read. */
export function createFrameDecoder(): (piece: Buffer) => Frame[] {
  let pieces: Buffer[] = [];
  let buffered = 0;
  let needed = prefixBytes;

  return (piece) => {
    pieces.push(piece);
    buffered += piece.byteLength;
    if (buffered < needed) return []; // pieces of a large frame are joined once, when it is whole
    let rest = pieces.length === 1 ? piece : Buffer.concat(pieces);
    const frames: Frame[] = [];
    for (;;) {
      needed = rest.byteLength < prefixBytes ? prefixBytes : 4 + checkedLength(rest);
      if (rest.byteLength < needed) break;
      frames.push(decodeFrame(rest.subarray(0, needed)));
      rest = rest.subarray(needed);
    }
    pieces = rest.byteLength > 0 ? [rest] : [];
    buffered = rest.byteLength;
    return frames;
  };
}

function checkedLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  const type = bytes.readUInt8(4);
  const head = bytes.readUInt32BE(5);
  if (!names.has(type) || length < 5 || length > maxFrameBytes || head > Math.min(length - 5, maxHeadBytes)) {
    throw new HobError("corrupt", `the runner sent what is not a frame: type ${type}, ${length} bytes, head ${head} bytes`);
  }
  return length;
}

function decodeFrame(bytes: Buffer): Frame {
  const name = names.get(bytes.readUInt8(4)) as FrameName; // checkedLength has seen it
  const headEnd = prefixBytes + bytes.readUInt32BE(5);
  let head: unknown;
  try {
    head = JSON.parse(bytes.toString("utf8", prefixBytes, headEnd));
  } catch (error) {
    throw new HobError("corrupt", `the head of a ${name} frame is not JSON`, { cause: error });
  }
  if (typeof head !== "object" || head === null) throw new HobError("corrupt", `the head of a ${name} frame is not an object`);
  return { name, head, payload: bytes.subarray(headEnd) } as Frame;
}

/** The payload cut into pieces of these sizes. */
export function cutPayload(frame: Frame, sizes: number[]): Buffer[] {
  let at = 0;
  const pieces = sizes.map((size) => {
    const piece = frame.payload.subarray(at, at + size);
    at += size;
    return piece;
  });
  if (at !== frame.payload.byteLength || sizes.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new HobError(
      "corrupt",
      `the payload of a ${frame.name} frame has ${frame.payload.byteLength} bytes, its head says ${at}`,
    );
  }
  return pieces;
}
