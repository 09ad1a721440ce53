// ⑥ The frame codec: three implementations of one format, and what is no frame.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFrameDecoder, cutPayload, encodeFrame, frameNumbers, maxFrameBytes } from "../../agent/runner/frames.ts";
import { HobError } from "../../base/errors.ts";
import { installRoot } from "../../base/install.ts";
import * as runner from "../../sdk/typescript/runner/frames.ts";

const python = "/usr/bin/python3";

const bytes = (id: string, payload: Uint8Array): Buffer =>
  Buffer.concat(
    encodeFrame("childResult", { id, failure: { kind: "load", type: "", message: id, traceback: "", frames: [] } }, [payload]),
  );

/** The same stream, cut anywhere. */
function pieces(stream: Buffer, cuts: number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (stream.byteLength + 1)).sort((a, b) => a - b), stream.byteLength];
  return places.slice(1).map((end, at) => stream.subarray(places[at], end));
}

describe("frames", () => {
  it("come out as they went in, however the stream is cut", () => {
    const frames = fc.array(fc.tuple(fc.string({ unit: "grapheme" }), fc.uint8Array({ maxLength: 300 })), { maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.array(fc.nat()), (sent, cuts) => {
        const stream = Buffer.concat(sent.map(([id, payload]) => bytes(id, payload)));
        type Decoded = { name: string; head: object; payload: Buffer };
        const decoders: ((piece: Buffer) => Decoded[])[] = [createFrameDecoder(), runner.createFrameDecoder()];
        for (const decode of decoders) {
          const received = pieces(stream, cuts).flatMap((piece) => decode(piece));
          expect(received.map((frame) => [frame.name, "id" in frame.head && frame.head.id, [...frame.payload]])).toEqual(
            sent.map(([id, payload]) => ["childResult", id, [...payload]]),
          );
        }
      }),
    );
  });

  it("have the same numbers and bytes in the agent and in both runners", () => {
    expect(runner.frameNumbers).toEqual(frameNumbers);
    const script =
      "import sys; from hob import frames; sys.stdout.write(repr(frames.NAMES) + '\\n'); sys.stdout.flush(); sys.stdout.buffer.write(frames.encode(3, {'call': 'a'}, b'xy'))";
    const [names = "", frame = ""] = execFileSync(python, ["-c", script], {
      env: { PYTHONPATH: join(installRoot, "sdk/python") },
      encoding: "latin1",
    }).split(/\n/, 2);
    expect(names).toBe(
      `{${Object.entries(frameNumbers)
        .map(([name, number]) => `${number}: '${name}'`)
        .join(", ")}}`,
    );
    expect(Buffer.from(frame, "latin1")).toEqual(Buffer.concat(encodeFrame("cancel", { call: "a" }, [Buffer.from("xy")])));
    expect(runner.encodeFrame("cancel", { call: "a" }, Buffer.from("xy"))).toEqual(Buffer.from(frame, "latin1"));
  });

  it("that cannot be frames are refused with a typed error, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (noise) => {
        try {
          createFrameDecoder()(Buffer.from(noise));
        } catch (error) {
          expect(error).toBeInstanceOf(HobError);
          expect((error as HobError).kind).toBe("corrupt");
        }
      }),
    );
  });

  it("of an absurd length, of no known type, with a head past their end or a head that is no object are refused", () => {
    const refuse = (change: (frame: Buffer) => void, message: RegExp): void => {
      const frame = bytes("x", Buffer.alloc(0));
      change(frame);
      expect(() => createFrameDecoder()(frame)).toThrow(message);
    };
    refuse((frame) => frame.writeUInt32BE(maxFrameBytes + 1, 0), /not a frame: type 4, 268435457 bytes/);
    refuse((frame) => frame.writeUInt32BE(4, 0), /not a frame/);
    refuse((frame) => frame.writeUInt8(99, 4), /type 99/);
    refuse((frame) => frame.writeUInt32BE(frame.readUInt32BE(0), 5), /not a frame/);
    refuse((frame) => frame.write("[", 9), /not JSON/);
    expect(() => createFrameDecoder()(Buffer.concat([Buffer.from([0, 0, 0, 6, 3, 0, 0, 0, 1]), Buffer.from("1")]))).toThrow(
      /not an object/,
    );
  });

  it("with a payload that differs from what the head says are refused", () => {
    const [frame] = createFrameDecoder()(bytes("x", Buffer.from("abc")));
    expect(() => cutPayload(frame!, [1, 1])).toThrow(/has 3 bytes, its head says 2/);
    expect(() => cutPayload(frame!, [4, -1])).toThrow(/payload/);
  });
});
