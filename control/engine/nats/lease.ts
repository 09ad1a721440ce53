// ④ Who serves the pool: one value that its owner renews and anybody takes once it has gone. The journal decides; this says where to look and whose turn it is.

import { NoRespondersError, RequestError, type Subscription } from "@nats-io/transport-node";
import { HobError, sentenceOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { PoolOwner } from "../../../proto/gen/hob/v1/journal.ts";
import { leaseMs, type NatsLink } from "./link.ts";

const key = "owner";
const renewMs = leaseMs / 4;
const lookMs = 400;
const askMs = 1_000;
/** A control of which NATS says that it is not connected is asked once more, for it may be connecting again. */
const absencesAllowed = 2;
/** After which a control that reaches no server of NATS lets go of those who are connected to it: another may have the pool. */
const isolatedMs = 15_000;

export interface Lease extends AsyncDisposable {}

const encode = (owner: PoolOwner): Uint8Array => PoolOwner.encode(owner).finish();

/** Resolves once this control may take the pool. `seen` hears who has it until then; undefined: nobody. */
export async function awaitLease(
  link: NatsLink,
  self: PoolOwner,
  { seen, signal, log }: { seen(owner: PoolOwner | undefined): unknown; signal: AbortSignal; log: Log },
): Promise<number> {
  let absences = 0;
  let said = "";
  for (;;) {
    signal.throwIfAborted();
    try {
      const entry = await link.lease.get(key);
      if (entry?.operation !== "PUT") {
        await seen(undefined);
        return await link.lease.create(key, encode(self)); // throws where another was faster
      }
      const owner = PoolOwner.decode(entry.value);
      await seen(owner);
      said = "";
      absences = (await isAbsent(link, owner)) ? absences + 1 : 0;
      if (absences >= absencesAllowed) await link.lease.delete(key, { previousSeq: entry.revision });
    } catch (error) {
      const why = sentenceOf(error);
      if (why !== said) log.info({ why }, "this control stands by");
      said = why;
    }
    if (absences < absencesAllowed) await new Promise((resolve) => setTimeout(resolve, lookMs));
    else absences = 0;
  }
}

async function isAbsent(link: NatsLink, owner: PoolOwner): Promise<boolean> {
  try {
    await link.connection.request(link.lifeSubject(owner.id), "", { timeout: askMs });
    return false;
  } catch (error) {
    return error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders());
  }
}

/** Renews it until it is left; `lost` when this control has to let go of the pool. */
export function holdLease(
  link: NatsLink,
  self: PoolOwner,
  { revision: first, lost }: { revision: number; lost(error: HobError): void },
): Lease {
  let revision = first;
  let heldAtMs = performance.now();
  let renewing: Promise<void> | undefined; // one at a time: where NATS does not answer, each takes longer than the next is due
  let over = false;
  const life: Subscription = link.connection.subscribe(link.lifeSubject(self.id), {
    callback: (_error, message) => void message.respond(),
  });

  async function renew(): Promise<void> {
    try {
      revision = await link.lease.update(key, encode(self), revision);
      heldAtMs = performance.now();
    } catch {
      if (over) return;
      if (!link.connected && performance.now() - heldAtMs > isolatedMs) {
        letGo(`this control reaches no server of NATS at ${link.name}`, "connect to another control of the pool");
        return;
      }
      await regain().catch(() => {}); // NATS does not answer: the next renewal tries again
    }
  }

  /** It went, for it was not renewed in time, or another answer to a renewal was lost. */
  async function regain(): Promise<void> {
    const entry = await link.lease.get(key);
    if (entry?.operation !== "PUT") revision = await link.lease.create(key, encode(self));
    else if (PoolOwner.decode(entry.value).id === self.id) ({ revision } = entry);
    else letGo("another control serves this pool now", "connect again: it is led there");
  }

  function letGo(sentence: string, remedy: string): void {
    if (over) return;
    over = true;
    lost(new HobError("unavailable", sentence, { remedy }));
  }

  const timer = setInterval(() => {
    if (over) return;
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
  }, renewMs);

  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      life.unsubscribe();
      if (over) return; // it is another's
      over = true;
      await renewing;
      await link.lease.delete(key, { previousSeq: revision }).catch(() => {}); // it goes by itself
    },
  };
}
