// ④⑦ One HTTP request on its way through a call: what the runner is asked, and what its caller hears of the answer.

import type { ResponsePart } from "../../proto/gen/hob/v1/agents.ts";
import type { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { type HttpRequest, HttpResponse, Value } from "../../proto/gen/hob/v1/common.ts";

export interface Exchange {
  readonly request: HttpRequest;
  /** A part of the answer has been sent: there is no other attempt from then on. */
  readonly begun: boolean;
  /** The next part of a streamed answer. */
  part(part: ResponsePart): void;
  /** The call has succeeded with this answer; what people are shown in the place of its body. */
  answered(response: HttpResponse | undefined, body: Value): Value;
  /** The call has ended. */
  ended(info: CallInfo): void;
}

/** Hears, in this order: parts, with the head before the first; then one end. */
export interface Listener {
  /** `bytes`: of the body, where it is whole. */
  head(response: HttpResponse, bytes?: number): void;
  data(part: ResponsePart): void;
  /** `whole`: the body, where it was not streamed. */
  end(info: CallInfo, whole: Value | undefined): void;
}

export function createExchange(request: HttpRequest, listener: Listener): Exchange {
  let head: HttpResponse | undefined;
  let whole: Value | undefined;
  let streamed = false;

  function begin(response: HttpResponse): void {
    head = response;
    listener.head(response);
  }

  return {
    request,
    get begun() {
      return streamed;
    },
    part(part) {
      streamed = true;
      if (!head) begin(part.response ?? HttpResponse.create({ status: 200 }));
      if (part.data.byteLength > 0) listener.data(part);
    },
    answered(response, body) {
      if (!streamed) {
        whole = body;
        head = response ?? HttpResponse.create({ status: 200 });
      }
      return Value.fromPartial({ json: Buffer.from(JSON.stringify(summary(head!, streamed ? undefined : body))) });
    },
    ended(info) {
      if (whole && head) listener.head(head, whole.large?.bytes ?? whole.json.byteLength);
      listener.end(info, whole);
    },
  };
}

function summary({ status, headers }: HttpResponse, body: Value | undefined): object {
  const type = headers.find(({ name }) => name.toLowerCase() === "content-type")?.value;
  return { status, ...(type ? { type } : {}), ...(body ? { bytes: body.large?.bytes ?? body.json.byteLength } : {}) };
}
