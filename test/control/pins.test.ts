// ④ Image.host() in deployments: pinned by its digest, whatever the node has made of itself since.

import { expect, test } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { openDeploymentsPool } from "../../cli/deployments-client.ts";
import { unixAddress } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { hostDigest, makePlace, makePublish, openSession, publishAndLoad, startControl } from "./harness.ts";

const never = new AbortController().signal;
const quiet = (): void => {};

test("a deployment keeps the host's image that it was made with, over the node's next one and a restart, and a rollback takes that again", async () => {
  using place = makePlace();
  const [before, after] = ["the host's image", "the host's image with another Python"].map((text) => Buffer.from(text));
  const blobs = openContentFolder(place.store, { durable: false });
  for (const blob of [before!, after!]) await blobs.putStream([blob]);
  expect(sha256(before!)).toBe(hostDigest);
  const live = (...images: string[]) => ({ functions: images.map((image) => ({ version: expect.anything(), image })) });
  {
    await using _control = await startControl(place);
    using session = openSession(place.socket);
    using _agent = linkAgent(place.socket);
    using pool = openDeploymentsPool(unixAddress(place.socket));
    await publishAndLoad(session, makePublish("v1", [{ name: "price" }]));
    expect((await pool.deploy({ app: "shop" }, never, quiet)).deployment).toMatchObject(live(hostDigest));
    expect(await session.outcome(session.call("price", [1], { app: "shop@live" }))).toMatchObject({ app: "shop@1" });
    expect(await pool.deploy({ app: "shop" }, never, quiet)).toMatchObject({ unchanged: true });
  }
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using agent = linkAgent(place.socket, { host: sha256(after!) });
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const imageOf = async (app: string): Promise<string> => {
    const call = session.call("price", [1], { app });
    expect(await session.outcome(call)).toMatchObject({ state: "succeeded" });
    return agent.containers.get((await agent.dispatchOf(call)).container)!.image;
  };
  expect([await imageOf("shop@live"), await imageOf("shop")]).toEqual([hostDigest, sha256(after!)]);
  const { deployment } = await pool.deploy({ app: "shop" }, never, quiet);
  expect(deployment).toMatchObject({ number: 2, changes: [{ kind: "image", before: hostDigest, after: sha256(after!) }] });
  expect(await imageOf("shop@live")).toBe(sha256(after!));
  expect((await pool.deploy({ app: "shop", rollBack: true }, never, quiet)).deployment).toMatchObject({
    of: 1,
    ...live(hostDigest),
  });
  expect(await imageOf("shop@live")).toBe(hostDigest);
  await expect(pool.history("shop")).resolves.toHaveLength(3);
});
