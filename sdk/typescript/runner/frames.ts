// ⑥ Frames, the runner's side: docs/runner-protocol.md is the specification. Nothing outside sdk/ can be imported in a container.

export const frameNumbers = {
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
} as const;

export type FrameName = keyof typeof frameNumbers;

export interface Failure {
  kind: string;
  message: string;
  type?: string;
  traceback?: string;
  frames?: { file: string; line: number; function: string; source: string; own: boolean }[];
}

export interface Version {
  function: string;
  digest: string;
  module: string;
  qualname: string;
  bundle: string;
  className: string;
  keepsState: boolean;
  concurrency: number;
  secrets: string[];
}

/** How the process that serves `functions` from `base` goes on with their new versions: proto/hob/v1/common.proto. */
export interface Patch {
  base: string;
  functions: string[];
  keep: string;
  bundle: string;
}

/** Inputs of a map for one process; `inputs` is the agent's number for them. */
export interface InputsHead {
  inputs: number;
  map: string;
  snapshot: string;
  version: string;
  function: string;
  indexes: number[];
  sizes: number[];
  keywords?: number[]; // bytes of each input's keywords; absent when no input has keywords
}

/** Results from position `first` on; a size of -1 is the next of `failures`. */
export interface ResultsHead {
  inputs: number;
  first: number;
  sizes: number[];
  failures: Failure[];
  runMs: number;
  droppedBytes?: number;
  last?: boolean; // nothing more comes
  failure?: Failure; // of the input at `guilty`, else of all that have no result
  guilty?: number;
}

/** A map that a function makes. */
interface MapHead {
  map: string;
  parent: string;
  app: string;
  function: string;
  ordered: boolean;
  spawned: boolean; // it goes on when who made it has ended
}

/** What has become of such a map: inputs that may be sent, results, its end. */
interface MapNews {
  map: string;
  recorded?: number; // inputs below this index are kept
  until?: number; // inputs below this index may be sent
  indexes?: number[]; // of the results in the payload
  sizes?: number[];
  failures?: Failure[];
  finished?: boolean; // nothing more comes
  failure?: Failure; // of the map as a whole
}

export interface RequestHead {
  method: string;
  origin: string;
  /** What stands before `path`. */
  prefix: string;
  path: string;
  query: string;
  headers: [name: string, value: string][];
}

export interface ResponseHead {
  status: number;
  headers: [name: string, value: string][];
}

export interface Heads {
  load: {
    load: number;
    snapshot: string;
    blobs: { digest: string; size: number }[];
    versions: Version[];
    patches?: Patch[];
    secrets?: Record<string, string>;
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
  };
  taken: { call: string; bytes: number; gone?: boolean }; // of its streamed response, so far; gone: nobody reads it
  cancel: { call?: string; load?: number; inputs?: number };
  inputs: InputsHead;
  mapNews: MapNews;
  childResult: { id: string; failure?: Failure };
  ready: { protocol: number; language: string; interpreter: string };
  loaded: { load: number; tier?: "patch" | "fork"; reason?: string; failure?: Failure };
  started: { call: string; timeMs: number } | { inputs: number; timeMs: number };
  output: { call: string; index?: number; stream: string; timeMs: number; dropped: number };
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
  finish: Record<string, never>;
  rouse: Record<string, never>;
  unloaded: { snapshot: string };
  results: ResultsHead;
  map: MapHead;
  mapInputs: { map: string; first: number; sizes: number[]; last: boolean };
  mapTake: { map: string; results: number };
  mapCancel: { map: string };
  inspect: { call: string };
  inspected: { call: string; reason: string };
}

/** `raw` is the whole frame: passing it on costs nothing. */
export type Frame = { [K in FrameName]: { name: K; head: Heads[K]; payload: Buffer; raw: Buffer } }[FrameName];

export const protocolVersion = 1;
export const maxFrameBytes = 256 << 20;
export const maxHeadBytes = 16 << 20;

const names = new Map<number, FrameName>(Object.entries(frameNumbers).map(([name, number]) => [number, name as FrameName]));

export function encodeFrame<K extends FrameName>(name: K, head: Heads[K], ...payload: Uint8Array[]): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const rest = payload.reduce((sum, piece) => sum + piece.byteLength, 5 + text.byteLength);
  if (rest > maxFrameBytes)
    throw new RangeError(`a ${name} frame of ${rest} bytes is over the limit of ${maxFrameBytes >> 20} MiB`);
  const front = Buffer.allocUnsafe(9);
  front.writeUInt32BE(rest, 0);
  front.writeUInt8(frameNumbers[name], 4);
  front.writeUInt32BE(text.byteLength, 5);
  return Buffer.concat([front, text, ...payload]);
}

/** Takes pieces of any size, gives whole frames; throws for what cannot be one. */
export function createFrameDecoder(): (piece: Buffer) => Frame[] {
  let pieces: Buffer[] = [];
  let buffered = 0;
  let needed = 9;
  return (piece) => {
    pieces.push(piece);
    buffered += piece.byteLength;
    if (buffered < needed) return [];
    let rest = pieces.length === 1 ? piece : Buffer.concat(pieces);
    const frames: Frame[] = [];
    for (;;) {
      needed = 9;
      if (rest.byteLength < needed) break;
      needed = 4 + frameLength(rest);
      if (rest.byteLength < needed) break;
      const headEnd = 9 + rest.readUInt32BE(5);
      const name = names.get(rest.readUInt8(4)) as FrameName; // frameLength has seen it
      const raw = rest.subarray(0, needed);
      frames.push({ name, head: JSON.parse(raw.toString("utf8", 9, headEnd)), payload: raw.subarray(headEnd), raw } as Frame);
      rest = rest.subarray(needed);
    }
    pieces = rest.byteLength > 0 ? [rest] : [];
    buffered = rest.byteLength;
    return frames;
  };
}

function frameLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  const type = bytes.readUInt8(4);
  const head = bytes.readUInt32BE(5);
  if (!names.has(type) || length < 5 || length > maxFrameBytes || head > Math.min(length - 5, maxHeadBytes)) {
    throw new RangeError(`not a frame: type ${type}, ${length} bytes, head ${head} bytes`);
  }
  return length;
}

/** The payload cut into pieces of these sizes. */
export function cutPayload(payload: Buffer, ...sizes: number[]): Buffer[] {
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return payload.subarray(at - size, at);
  });
}
