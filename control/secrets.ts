// ④ Secrets: kept encrypted beside the other records, handed out only for a load of a function that names them.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { baseOf } from "../proto/app-name.ts";
import { SecretInfo, type SecretsServer } from "../proto/gen/hob/v1/secrets.ts";
import { toServiceError } from "../proto/status.ts";
import type { Records } from "./engine/engine.ts";

const cipher = "aes-256-gcm";
const keyBytes = 32;
const nonceBytes = 12; // NIST SP 800-38D, 8.2: the length that needs no further hashing
const tagBytes = 16;
const largestValueBytes = 64 << 10; // more than an environment's usual share (execve allows 128 KiB for one string)
const kind = "secret";

export interface Secrets {
  readonly service: SecretsServer;
  /** The values of these names for that app: its own before those of every app. Throws for the first that is not set. */
  secretsFor(app: string, names: Iterable<string>): Record<string, string>;
  /** Undefined where it is not set, or sealed with another key. */
  valueOf(app: string, name: string): string | undefined;
}

/** A function names a secret that is not set: its load and its calls fail with this sentence. */
export class MissingSecret extends HobError {}

interface SecretsParts {
  records: Records;
  /** Folder of the key file. */
  state: string;
  now(): number;
  /** Calls back once what was changed is recorded. */
  recorded(done: () => void): void;
  /** Processes of that app are given this value. */
  handed(app: string, name: string, value: string): void;
  /** A value has changed: whatever has loaded the former one is replaced. `app` "" is every app. Says how many containers that are. */
  changed(app: string, name: string): number;
}

/** The key of a state folder; made at the first use. Whoever has both it and the database can read the secrets. */
export function openKey(state: string): Buffer {
  const file = join(state, "secrets.key");
  try {
    const fd = openSync(file, "wx", 0o600);
    try {
      const key = randomBytes(keyBytes);
      writeSync(fd, key);
      fsyncSync(fd);
      return key;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw systemError(`making ${file}`, error);
  }
  const key = readFileSync(file);
  if (key.length === keyBytes) return key;
  throw new HobError("corrupt", `${file} has ${key.length} bytes, not ${keyBytes}`, {
    remedy: "restore it from a backup, or remove it and set the secrets again",
  });
}

const recordKey = (app: string, name: string): string => `${app}\n${name}`;

function checkName(name: string, app: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) {
    throw new HobError("usage", `"${name}" cannot be the name of a secret`, {
      remedy: "use letters, digits and _, as in API_KEY: functions find it under that name in their environment",
    });
  }
  if (app.includes("\n")) throw new HobError("usage", `"${app}" is not the name of an app`);
}

export function createSecrets({ records, state, now, recorded, handed, changed }: SecretsParts): Secrets {
  let key: Buffer | undefined;
  const theKey = (): Buffer => {
    key ??= openKey(state);
    return key;
  };

  /** The record's name is authenticated with it: a value cannot be moved to another name. */
  function seal(value: string, place: string): Buffer {
    const nonce = randomBytes(nonceBytes);
    const sealing = createCipheriv(cipher, theKey(), nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(place));
    const body = Buffer.concat([sealing.update(value, "utf8"), sealing.final()]);
    return Buffer.concat([nonce, sealing.getAuthTag(), body]);
  }

  function unseal(record: Uint8Array, place: string): string {
    const bytes = Buffer.from(record.buffer, record.byteOffset + 8, record.byteLength - 8); // after the time
    const opening = createDecipheriv(cipher, theKey(), bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
    opening.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
    try {
      return Buffer.concat([opening.update(bytes.subarray(nonceBytes + tagBytes)), opening.final()]).toString("utf8");
    } catch (error) {
      const name = place.split("\n")[1];
      throw new HobError(
        "corrupt",
        `secret ${name} cannot be read: ${join(state, "secrets.key")} is not the key that it was set with`,
        {
          cause: error,
          remedy: `run: hob secrets set ${name}`,
        },
      );
    }
  }

  function set(app: string, name: string, value: string): number {
    checkName(name, app);
    if (value === "") throw new HobError("usage", `secret ${name}: the value is empty`);
    if (value.includes("\0")) throw new HobError("usage", `secret ${name}: an environment cannot hold a zero byte`);
    if (Buffer.byteLength(value) > largestValueBytes) {
      throw new HobError("usage", `secret ${name}: the value is over ${largestValueBytes >> 10} KiB`);
    }
    const place = recordKey(app, name);
    const former = records.get(kind, place);
    const time = Buffer.alloc(8);
    time.writeDoubleLE(now());
    records.put(kind, place, Buffer.concat([time, seal(value, place)]), former?.revision ?? 0);
    return changed(app, name);
  }

  function remove(app: string, name: string): number {
    const place = recordKey(app, name);
    if (!records.get(kind, place)) throw missing(name, app);
    records.remove(kind, place);
    return changed(app, name);
  }

  function list(app: string): SecretInfo[] {
    return records
      .list(kind)
      .map(({ key: place, value }) => {
        const [owner = "", name = ""] = place.split("\n");
        const changedAtMs = Buffer.from(value.buffer, value.byteOffset, 8).readDoubleLE();
        return SecretInfo.fromPartial({ name, app: owner, changedAtMs });
      })
      .filter((info) => app === "" || info.app === "" || info.app === app)
      .sort((a, b) => (recordKey(a.app, a.name) < recordKey(b.app, b.name) ? -1 : 1));
  }

  /** The app's own before that of every app; undefined where neither is set. */
  function read(app: string, name: string): string | undefined {
    const own = recordKey(baseOf(app), name);
    const place = records.get(kind, own) ? own : recordKey("", name);
    const record = records.get(kind, place);
    return record && unseal(record.value, place);
  }

  /** Answers once it is recorded; what is refused says why and changes nothing. */
  function answer<Answer>(
    work: () => Answer,
    callback: (error: ReturnType<typeof toServiceError> | null, value?: Answer) => void,
  ): void {
    try {
      const value = work();
      recorded(() => callback(null, value));
    } catch (error) {
      callback(toServiceError(error));
    }
  }

  return {
    secretsFor(app, names) {
      const values: Record<string, string> = {};
      for (const name of names) {
        const value = read(app, name);
        if (value === undefined) throw missing(name, "");
        values[name] = value;
        handed(app, name, value);
      }
      return values;
    },
    valueOf(app, name) {
      try {
        return read(app, name);
      } catch (error) {
        if (error instanceof HobError && error.kind === "corrupt") return undefined;
        throw error;
      }
    },
    service: {
      setSecret: ({ request: { app, name, value } }, callback) => answer(() => ({ containers: set(app, name, value) }), callback),
      listSecrets: ({ request: { app } }, callback) => callback(null, { secrets: list(app) }),
      removeSecret: ({ request: { app, name } }, callback) => answer(() => ({ containers: remove(app, name) }), callback),
    },
  };
}

const missing = (name: string, app: string): MissingSecret =>
  new MissingSecret("notFound", `secret ${name} is not set${app ? ` for ${app}` : ""}; run: hob secrets set ${name}`);
