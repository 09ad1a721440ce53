// Who vouches for a control on the network: its authority, known by a pin, the hash of its public key, which travels with a token.

import { createHash, type X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:tls";
import { HobError, sentenceOf } from "../base/errors.ts";
import { type HostPort, type NetworkAddress, networkAddress, placesOf } from "./address.ts";

/** The name in every certificate of control that an authority of hob's own has signed; no public authority signs names of this kind. */
export const controlName = "control.hob";
const patienceMs = 10_000;

/** The name in the certificate that a node shows to other nodes. */
export const peerName = (node: string): string => `node-${createHash("sha256").update(node).digest("hex").slice(0, 32)}.hob`;

/** sha256 of the subject's public key (RFC 7469, 2.4), base64url. */
export const pinOf = (certificate: X509Certificate): string =>
  createHash("sha256")
    .update(certificate.publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");

/** From what the server shows, each signed by the next. */
function chainOf(first: X509Certificate | undefined): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = first; next && !chain.some(({ fingerprint256 }) => fingerprint256 === next?.fingerprint256); ) {
    const signer = chain.at(-1);
    if (signer && !signer.verify(next.publicKey)) break;
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

/** Of the first of the pool's controls that answers. */
export async function fetchAuthority(address: NetworkAddress): Promise<string> {
  let failure: unknown;
  for (const place of placesOf(address)) {
    try {
      return await authorityAt({ ...place, pin: address.pin });
    } catch (error) {
      if (error instanceof HobError && error.kind === "denied") throw error;
      failure = error;
    }
  }
  throw failure;
}

/** Dials without trust, sends nothing, and gives the certificate that has the pin, as PEM; rejects when the server shows none that does. */
async function authorityAt({ host, port, pin }: HostPort & { pin: string }): Promise<string> {
  const where = networkAddress({ host, port });
  const socket = connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(patienceMs) });
    const found = chainOf(socket.getPeerX509Certificate()).find((certificate) => pinOf(certificate) === pin);
    if (found) return found.toString();
  } catch (error) {
    const late = error instanceof Error && error.name === "AbortError";
    throw new HobError("unavailable", `connecting to ${where}: ${late ? "it does not answer" : sentenceOf(error)}`, {
      cause: error,
      remedy: "see that control listens there, and that a firewall lets its port through",
    });
  } finally {
    socket.on("error", () => {}); // nobody listens to it any more
    socket.end().setTimeout(1_000, () => socket.destroy());
  }
  throw new HobError("denied", `${where} is not the control that the URL was made for: its authority has another key`, {
    remedy: "ask for a new URL, `hob pool token create`, and find out who answers there",
  });
}
