// ④ Tokens: who may do what on the network. Control keeps their hashes; a token is told once.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { HobError } from "../../base/errors.ts";
import { TokenInfo } from "../../proto/gen/hob/v1/members.ts";
import type { Records } from "../engine/engine.ts";

const kind = "token";
const secretBytes = 32; // so many that a hash without salt or stretching keeps them: nobody guesses 256 bits
const idBytes = 4;
const longestJoinMs = 7 * 24 * 3_600_000;
/** How exactly it is noted when a token was last used: a write a minute, not one a call. */
const usedEveryMs = 60_000;

const scopes = ["client", "read-only", "agent", "join", "call"] as const;
export type Scope = (typeof scopes)[number];

export interface Tokens {
  create(wish: { scope: Scope; note: string; node: string; lifetimeMs: number }): { info: TokenInfo; token: string };
  list(): TokenInfo[];
  revoke(id: string): TokenInfo;
  /** Of the scope "agent", good for that node's name. */
  ofNode(node: string): TokenInfo | undefined;
  /** Whose token it is; a sentence where it is none that is good now. */
  check(token: string): TokenInfo | string;
}

const hashOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

/** hob_ID_SECRET */
const shape = /^hob_([0-9a-f]{8})_([A-Za-z0-9_-]{43})$/;

export function createTokens(records: Records, now: () => number): Tokens {
  function read(value: Uint8Array): { info: TokenInfo; hash: Uint8Array } {
    return { hash: value.subarray(0, 32), info: TokenInfo.decode(value.subarray(32)) };
  }
  const write = (info: TokenInfo, hash: Uint8Array, revision: number): void =>
    void records.put(kind, info.id, Buffer.concat([hash, TokenInfo.encode(info).finish()]), revision);

  const list = (): TokenInfo[] =>
    records
      .list(kind)
      .map(({ value }) => read(value).info)
      .sort((a, b) => a.createdAtMs - b.createdAtMs);

  return {
    create({ scope, note, node, lifetimeMs }) {
      if (!scopes.includes(scope))
        throw new HobError("usage", `"${scope}" is no scope of a token`, { remedy: `choose one of ${scopes.join(", ")}` });
      if (scope === "join" && !(lifetimeMs > 0 && lifetimeMs <= longestJoinMs)) {
        throw new HobError("usage", "a join token is good for 7 days at most", { remedy: "give it less: --expires 1h" });
      }
      const id = randomBytes(idBytes).toString("hex");
      const secret = randomBytes(secretBytes).toString("base64url");
      const createdAtMs = now();
      const expiresAtMs = lifetimeMs > 0 ? createdAtMs + lifetimeMs : 0;
      const info: TokenInfo = { id, scope, note, node, createdAtMs, expiresAtMs, usedAtMs: 0 };
      write(info, hashOf(secret), 0);
      return { info, token: `hob_${id}_${secret}` };
    },
    list,
    revoke(id) {
      const record = records.get(kind, id);
      if (!record) throw new HobError("notFound", `there is no token ${id}`, { remedy: "`hob pool token ls` shows them" });
      records.remove(kind, id);
      return read(record.value).info;
    },
    ofNode: (node) => list().find((info) => info.scope === "agent" && info.node === node),
    check(token) {
      const match = shape.exec(token);
      const record = match && records.get(kind, match[1]!);
      if (!record) return "the token is not one of this pool, or was revoked";
      const { info, hash } = read(record.value);
      if (!timingSafeEqual(hashOf(match[2]!), hash)) return "the token is not one of this pool, or was revoked";
      const nowMs = now();
      if (info.expiresAtMs > 0 && info.expiresAtMs <= nowMs)
        return `token ${info.id} ended on ${new Date(info.expiresAtMs).toISOString()}`;
      if (nowMs - info.usedAtMs >= usedEveryMs) write({ ...info, usedAtMs: nowMs }, hash, record.revision);
      return info;
    },
  };
}
