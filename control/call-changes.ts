// ⑦ What has changed about a call is recorded, and told to whoever listens once it is durable.

import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import type { Call } from "./call.ts";
import { isFinished } from "./call-states.ts";
import type { CallStore } from "./engine/engine.ts";
import type { Turn } from "./turn.ts";

interface ChangesParts {
  store: Pick<CallStore, "save">;
  turn: Pick<Turn, "toClient" | "toWaiting">;
  announce(info: CallInfo): void;
}

export function createCallChanges({ store, turn, announce }: ChangesParts): { changed(call: Call): void } {
  return {
    changed(call) {
      const final = isFinished(call.info.state);
      if (call.exchange && !final) return;
      if (!call.exchange || call.info.state === "failed") store.save(call);
      call.exchange?.ended(call.info);
      if (call.announced && !final) return;
      call.announced = true;
      const tell = (): void => {
        call.announced = false;
        if (!final && isFinished(call.info.state)) return; // the outcome is told by its own turn, which may not be durable yet
        announce({ ...call.info }); // a copy: what is buffered must not change while it waits
      };
      if (final) turn.toWaiting(tell);
      else turn.toClient(tell);
    },
  };
}
