// ⑥ Arguments and results that are too large for a message: fetched for the runner, given to control's store before it is told of them.

import { setTimeout as after } from "node:timers/promises";
import type { ContentFolder } from "../base/content-folder.ts";
import { sentenceOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Arguments, type HttpRequest, type LargeValue, Value } from "../proto/gen/hob/v1/common.ts";
import { argumentsFrom, headOf, inlineValueBytes, jsonOf } from "../proto/large-value.ts";
import { type UploadClient, upload } from "./build/upload.ts";
import type { Content } from "./content.ts";

export interface LargeValues {
  /** As the runner wants them. */
  given(given: Arguments | undefined): Promise<Arguments>;
  /** A request's body, where a call has its arguments. */
  body(request: HttpRequest): Promise<Pick<Arguments, "positional" | "keywords">>;
  /** As the runner wants it. */
  json(value: Value | undefined): Promise<Buffer | undefined>;
  /** A result of that call, as control wants it. */
  result(call: string, json: Buffer): Promise<Value>;
  /** Arguments for that call, as control wants them. */
  asked(call: string, given: Arguments): Promise<Arguments>;
}

interface LargeValuesParts {
  store: ContentFolder;
  content: Pick<Content, "get">;
  client(): UploadClient;
  log: Log;
}

const pieceBytes = 1 << 20; // hashed and written before anybody else has a turn
const pauseMs = 500;
const none = Buffer.alloc(0);

function* pieces(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const part of parts) for (let at = 0; at < part.byteLength; at += pieceBytes) yield part.subarray(at, at + pieceBytes);
}

export function createLargeValues({ store, content, client, log }: LargeValuesParts): LargeValues {
  async function fetched(large: LargeValue): Promise<Buffer> {
    const [blob] = await content.get([large.blob]);
    return jsonOf(blob ?? none, large);
  }

  /** Resolves once control has it; a control that is away is waited for, as its results are. */
  async function give(call: string, parts: readonly Uint8Array[]): Promise<string> {
    const { digest } = await store.putStream(pieces([headOf(call), ...parts]));
    for (;;) {
      try {
        await upload(client(), store, [digest], new AbortController().signal);
        return digest;
      } catch (error) {
        log.warn({ call, error: sentenceOf(error) }, "giving control a large value; trying again");
        await after(pauseMs);
      }
    }
  }

  return {
    async given(given) {
      if (given?.large) return argumentsFrom(await fetched(given.large), given.large);
      return given ?? { positional: Buffer.from("[]"), keywords: none, large: undefined };
    },
    body: async ({ body, large }) => ({ positional: large ? await fetched(large) : body, keywords: none }),
    json: async (value) => (value?.large ? await fetched(value.large) : value?.json),
    async result(call, json) {
      if (json.byteLength <= inlineValueBytes) return { json, large: undefined };
      const large = { blob: await give(call, [json]), bytes: json.byteLength };
      return Value.fromPartial({ large });
    },
    async asked(call, given) {
      const { positional, keywords } = given;
      const bytes = positional.byteLength + keywords.byteLength;
      if (bytes <= inlineValueBytes) return given;
      const blob = await give(call, [positional, keywords]);
      return { positional: none, keywords: none, large: { blob, bytes, positional: positional.byteLength } };
    },
  };
}
