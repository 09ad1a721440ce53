// Messages from their bytes. The library makes a short string character by character, for which code that runs seldom, as a save's, is slow.

import { BinaryReader } from "@bufbuild/protobuf/wire";

class NativeStrings extends BinaryReader {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    super(bytes);
    this.#bytes = bytes;
  }

  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    this.pos += length;
    if (this.pos > this.len) throw new RangeError("premature EOF");
    return this.#bytes.toString("utf8", start, this.pos);
  }
}

/** A generated message type, for what it reads. */
export interface Decoder<Message> {
  decode(bytes: Uint8Array | BinaryReader): Message;
}

/** Throws where the bytes are no such message. */
export const decodeMessage = <Message>(type: Decoder<Message>, bytes: Buffer): Message => type.decode(new NativeStrings(bytes));
