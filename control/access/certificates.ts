// ④ Makes an authority, and certificates of control and of nodes that it vouches for, with @peculiar/x509 on Node's own cryptography.

import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 24 * 3_600_000;
const authorityDays = 3_650;
/** Short, for it is renewed without anybody's help; a clock that is a day behind does not matter. */
export const serverDays = 90;
const clockSlackMs = dayMs;

export interface KeyPair {
  /** PEM, PKCS #8. */
  key: string;
  /** PEM. */
  certificate: string;
}

type Library = typeof import("@peculiar/x509");

/** The package finds its own classes by decorators, of which the metadata is a proposal that Node has not; it declares none that it would need. */
async function loadLibrary(): Promise<Library> {
  const reflect = Reflect as { getMetadata?: () => undefined; getOwnMetadata?: () => undefined };
  reflect.getMetadata ??= () => undefined;
  reflect.getOwnMetadata ??= () => undefined;
  const library: Library & { default?: Library } = await import("@peculiar/x509");
  return library.default ?? library; // a chunk of the bundle has all that a CommonJS package exports as its default
}

/** RFC 5280, 4.1.2.2: positive, unique, at most 20 octets. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0]! &= 0x7f;
  return bytes.toString("hex");
}

function validity(nowMs: number, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - clockSlackMs), notAfter: new Date(nowMs + days * dayMs) };
}

const makeKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

async function exported(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" }).toString();
}

async function imported(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]);
}

export async function makeAuthority(nowMs: number): Promise<KeyPair> {
  const {
    X509CertificateGenerator,
    BasicConstraintsExtension,
    KeyUsagesExtension,
    KeyUsageFlags,
    SubjectKeyIdentifierExtension,
  } = await loadLibrary();
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validity(nowMs, authorityDays),
    serialNumber: serialNumber(),
    name: `CN=hob pool ${randomBytes(4).toString("hex")}`,
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { key: await exported(keys.privateKey), certificate: `${certificate.toString("pem")}\n` };
}

/** A certificate of those names, or addresses, with a key of its own. */
export async function makeServerCertificate(authority: KeyPair, names: readonly string[], nowMs: number): Promise<KeyPair> {
  const library = await loadLibrary();
  const issuer = new library.X509Certificate(authority.certificate);
  const keys = await makeKeys();
  const certificate = await library.X509CertificateGenerator.create({
    ...validity(nowMs, serverDays),
    serialNumber: serialNumber(),
    subject: [{ CN: [names[0] ?? ""] }],
    issuer: issuer.subject,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await imported(authority.key),
    extensions: [
      new library.BasicConstraintsExtension(false, undefined, true),
      new library.KeyUsagesExtension(library.KeyUsageFlags.digitalSignature, true),
      new library.ExtendedKeyUsageExtension([library.ExtendedKeyUsage.serverAuth]),
      new library.SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) ? "ip" : "dns", value }))),
      await library.AuthorityKeyIdentifierExtension.create(issuer),
      await library.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { key: await exported(keys.privateKey), certificate: `${certificate.toString("pem")}\n` };
}
