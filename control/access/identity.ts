// ④ What control shows on the network: a certificate of the authority in its state folder, made at the first start and renewed in time; or given ones.

import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { HobError, sentenceOf, systemError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { pinOf } from "../../proto/authority.ts";
import { type KeyPair, makeAuthority, makeServerCertificate, serverDays } from "./certificates.ts";

/** A certificate of ours is renewed when a third of its life is left. */
const renewBeforeMs = (serverDays / 3) * 24 * 3_600_000;

export interface ServerIdentity extends Disposable {
  /** PEM: the certificate, and those that vouch for it. */
  readonly current: { key: string; cert: string };
  readonly pin: string;
  /** Vouches for certificates of nodes; none where control's own is a given one. */
  readonly authority: KeyPair | undefined;
}

type Shown = Pick<ServerIdentity, "current" | "pin" | "authority">;

export interface GivenFiles {
  certificate: string;
  key: string;
}

interface IdentityParts {
  /** Control's state folder. */
  state: string;
  given: GivenFiles | undefined;
  /** Under which a certificate of ours is kept. */
  file: string;
  /** That it vouches for. */
  names: readonly string[];
  now(): number;
  /** How often it is looked at. */
  lookEveryMs: number;
  /** New connections are shown these from now on. */
  renewed(current: ServerIdentity["current"]): void;
  log: Log;
}

/** Of a state folder. */
export const accessFolder = "access";

const endOf = (pem: string): number => new X509Certificate(pem).validToDate.getTime();

function write(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function readPair(folder: string, name: string): KeyPair | undefined {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  return existsSync(key) && existsSync(certificate)
    ? { key: readFileSync(key, "utf8"), certificate: readFileSync(certificate, "utf8") }
    : undefined;
}

function writePair(folder: string, name: string, pair: KeyPair): KeyPair {
  write(join(folder, `${name}.key`), pair.key);
  write(join(folder, `${name}.crt`), pair.certificate);
  return pair;
}

const vouchesFor = (certificate: X509Certificate, name: string): boolean =>
  (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;

/** The authority of a state folder, made where there is none. */
export async function openAuthority(state: string, nowMs: number): Promise<KeyPair> {
  const folder = join(state, accessFolder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  return readPair(folder, "authority") ?? writePair(folder, "authority", await makeAuthority(nowMs));
}

async function own({ state, file, names, now }: IdentityParts): Promise<Shown> {
  const folder = join(state, accessFolder);
  const nowMs = now();
  try {
    const authority = await openAuthority(state, nowMs);
    const kept = readPair(folder, file);
    const shown = kept && new X509Certificate(kept.certificate);
    const good = shown && endOf(kept.certificate) - nowMs > renewBeforeMs && names.every((name) => vouchesFor(shown, name));
    const { key, certificate } = good ? kept : writePair(folder, file, await makeServerCertificate(authority, names, nowMs));
    const pin = pinOf(new X509Certificate(authority.certificate));
    return { current: { key, cert: certificate + authority.certificate }, pin, authority };
  } catch (error) {
    throw systemError(
      `opening the pool's keys in ${folder}`,
      error,
      "restore them from a backup; without them every machine has to join again",
    );
  }
}

function readGiven({ certificate, key }: GivenFiles, nowMs: number): Shown {
  let chain: X509Certificate[];
  const current = { key: "", cert: "" };
  try {
    current.key = readFileSync(key, "utf8");
    current.cert = readFileSync(certificate, "utf8");
    chain = (current.cert.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
      (pem) => new X509Certificate(pem),
    );
  } catch (error) {
    throw systemError(`reading ${certificate} and ${key}`, error);
  }
  const last = chain.at(-1);
  if (!last) throw new HobError("usage", `${certificate} holds no certificate in PEM`);
  if (chain[0]!.validToDate.getTime() < nowMs) {
    throw new HobError("precondition", `the certificate in ${certificate} ended on ${chain[0]!.validTo}`, { remedy: "renew it" });
  }
  return { current, pin: pinOf(last), authority: undefined };
}

export async function openServerIdentity(parts: IdentityParts): Promise<ServerIdentity> {
  const { given, now, log } = parts;
  const look = async () => (given ? readGiven(given, now()) : own(parts));
  const stampOf = (): number => (given ? statSync(given.certificate).mtimeMs : 0);
  let { current, pin, authority } = await look();
  let stamp = stampOf();

  async function renew(): Promise<void> {
    try {
      if (given ? stampOf() === stamp : endOf(current.cert) - now() > renewBeforeMs) return;
      const next = await look();
      if (next.pin !== pin)
        log.error(
          "the certificate that was given has another authority: machines and clients know the former one, and have to join again",
        );
      ({ current, pin, authority } = next);
      stamp = stampOf();
      parts.renewed(current);
      log.info({ until: new Date(endOf(current.cert)).toISOString() }, "the certificate was renewed");
    } catch (error) {
      log.error({ error: sentenceOf(error) }, "renewing the certificate failed; trying again");
    }
  }

  const timer = setInterval(() => void renew(), parts.lookEveryMs);
  return {
    get current() {
      return current;
    },
    get pin() {
      return pin;
    },
    get authority() {
      return authority;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
