// ④ Keys that several controls of a pool must have alike: what seals secrets, and the authority that clients and nodes have pinned. NATS has their
// fingerprints alone, so that a control with others refuses to start instead of locking everybody out when the pool moves to it.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import { PoolKeys } from "../proto/gen/hob/v1/journal.ts";
import { accessFolder, openAuthority } from "./access/identity.ts";
import type { NatsLink } from "./engine/nats/link.ts";
import { openKey } from "./secrets.ts";

const key = "keys";

/** Within a state folder. */
export const keyFiles: Record<keyof PoolKeys, string[]> = {
  secrets: ["secrets.key"],
  authority: [join(accessFolder, "authority.key"), join(accessFolder, "authority.crt")],
};

function checked(state: string, name: keyof PoolKeys, known: string): string {
  const hash = createHash("sha256").update("hob key\n");
  for (const file of keyFiles[name]) {
    const path = join(state, file);
    if (existsSync(path)) hash.update(readFileSync(path));
    else if (known !== "") {
      throw new HobError("precondition", `this control lacks the pool's ${keyFiles[name].join(" and ")}`, {
        remedy: `copy what another control has in its state folder into ${state}, readable by nobody else`,
      });
    }
  }
  const own = hash.digest("hex");
  if (known === "" || own === known) return own;
  throw new HobError("precondition", `${join(state, keyFiles[name][0]!)} is not the pool's: its other controls have another`, {
    remedy: "copy what one of them has in its state folder, or use another pool: --engine nats://…/NAME",
  });
}

/** Makes the keys of a pool that is still to be: for its controls' state folders. */
export async function makeKeys(folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  openKey(folder);
  await openAuthority(folder, systemClock.now());
  return Object.values(keyFiles).flat();
}

/** Makes what the pool has not yet, and throws where this control's differ from it. `network`: this control shows an authority of its own. */
export async function agreeOnKeys(link: NatsLink, state: string, network: boolean): Promise<void> {
  const entry = await link.records.get(key);
  const known = entry?.operation === "PUT" ? PoolKeys.decode(entry.value) : PoolKeys.create();
  mkdirSync(state, { recursive: true, mode: 0o700 });
  if (known.secrets === "") openKey(state);
  if (network && known.authority === "") await openAuthority(state, systemClock.now());
  const own = { secrets: checked(state, "secrets", known.secrets), authority: known.authority };
  if (network) own.authority = checked(state, "authority", known.authority);
  if (own.secrets === known.secrets && own.authority === known.authority) return;
  const bytes = PoolKeys.encode(own).finish();
  if (entry?.operation === "PUT") await link.records.update(key, bytes, entry.revision);
  else await link.records.create(key, bytes);
}
