// ④⑤ Machines fetch from each other over TLS: each shows a certificate of the pool's authority with its own name, and is shown a ticket, never a token.

import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeAuthority, makeServerCertificate } from "../../control/access/certificates.ts";
import { networkAddress } from "../../proto/address.ts";
import { peerName } from "../../proto/authority.ts";
import { peerTicket } from "../../proto/peer-ticket.ts";
import { introduce } from "../../proto/transport.ts";
import { bytesOf, makeFolder, makeImage, openTestNode, serveContents } from "./places.ts";

const controlAddress = "hob://control.example:7474";
const nowMs = Date.now();

test("a node gives to another over TLS; one with another's name, of another pool, or that answers nothing is left for control", async () => {
  using folder = makeFolder();
  const files = Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`file-${index}`, bytesOf(`${index}`, 20_000)]));
  const made = makeImage(files);
  using control = await serveContents(join(folder.path, "c"), made.blobs);
  const [authority, stranger] = [await makeAuthority(nowMs), await makeAuthority(nowMs)];
  introduce(controlAddress, { authority: authority.certificate, token: "a-token-that-no-node-may-see" });
  await using giver = await openTestNode(folder.path, "giver", control, { controlAddress });
  giver.room.peerKey("key");
  for (const digest of made.blobs.keys()) await giver.store.put(made.blobs.get(digest)!);
  const port = Number(/^:(\d+)$/.exec(giver.room.address)?.[1]);
  expect(port).toBeGreaterThan(0);
  const silent = createServer((socket) => socket.on("error", () => {}).unref()).listen(0, "127.0.0.1");
  await once(silent, "listening");
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void silent.close());

  const direct: string[] = []; // that control was asked for in the end
  /** The names of the digests that another node asks control for, when control sends it to that node. */
  async function taker(name: string, node: string, at: number, paths: string[]): Promise<string[]> {
    direct.length = 0;
    control.answer = (want) => {
      if (want.direct) {
        direct.push(want.digest);
        return { lacking: "control was asked" };
      }
      const address = networkAddress({ host: "127.0.0.1", port: at });
      return { elsewhere: { node, address, ticket: peerTicket("key", made.image) } };
    };
    await using taking = await openTestNode(folder.path, name, control, { controlAddress });
    for (const path of paths) {
      const wanted = { digest: made.digestOf(path), image: made.image, bytes: 20_000 };
      await taking.room.fetcher
        .fetch(wanted, "foreground")
        .catch((error: Error) => expect(error.message).toMatch("control was asked"));
    }
    return paths.filter((path) => taking.store.has(made.digestOf(path)));
  }

  // Before it has a certificate nobody is let in.
  expect(await taker("early", "giver", port, ["file-0"])).toEqual([]);
  const show = async (name: string, by = authority): Promise<void> =>
    giver.room.peerCertificate(await makeServerCertificate(by, [peerName(name)], nowMs));
  await show("giver");
  expect(await taker("first", "giver", port, Object.keys(files))).toEqual(Object.keys(files));
  expect(direct).toEqual([]);

  await show("somebody-else");
  expect(await taker("second", "giver", port, ["file-1", "file-2"])).toEqual([]);
  await show("giver", stranger);
  expect(await taker("third", "giver", port, ["file-1"])).toEqual([]);

  // Who says nothing is waited for once.
  const began = performance.now();
  expect(await taker("fourth", "silent", (silent.address() as AddressInfo).port, Object.keys(files))).toEqual([]);
  expect(direct).toHaveLength(6);
  expect(performance.now() - began).toBeLessThan(5_000);
});
