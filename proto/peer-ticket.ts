// ④⑤ What a node shows to another to be given an image's contents: made by control of the other's key, so that nobody has to be told of it.

import { createHmac, timingSafeEqual } from "node:crypto";

/** `key`: AgentWelcome.peer_key of the node that gives. The ticket is good for what that image's manifest names, and for as long as the key. */
export const peerTicket = (key: string, image: string): string => createHmac("sha256", key).update(`peer ${image}`).digest("hex");

export function isPeerTicket(ticket: string, key: string, image: string): boolean {
  const good = Buffer.from(peerTicket(key, image));
  const shown = Buffer.from(ticket);
  return key !== "" && shown.length === good.length && timingSafeEqual(shown, good);
}
