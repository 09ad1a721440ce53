// ④⑦ The gateway with control in this process and an agent that speaks the protocol: connections, deployments under load, and TLS.

import { once } from "node:events";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { openDeploymentsPool } from "../../cli/deployments-client.ts";
import { unixAddress } from "../../proto/transport.ts";
import { linkAgent } from "./agent-double.ts";
import { makePlace, makePublish, openSession, type Place, publishAndLoad, startControl } from "./harness.ts";

const never = new AbortController().signal;
const quiet = (): void => {};

interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  text: string;
}

async function get(url: string, agent: Agent): Promise<Answer> {
  const asked = request(url, { agent }).end();
  const [response] = await once(asked, "response");
  return { status: response.statusCode, headers: response.headers, text: await text(response) };
}

interface Served extends AsyncDisposable {
  place: Place;
  url: string;
}

async function serve(): Promise<Served> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(makePlace());
  const { promise: url, resolve: ready } = Promise.withResolvers<string>();
  stack.use(await startControl(place, { http: { host: "127.0.0.1", port: 0, ready } }));
  const life = stack.move();
  return { place, url: await url, [Symbol.asyncDispose]: () => life.disposeAsync() };
}

const price = { name: "price", endpoint: { kind: "function", path: "/price", methods: ["GET"] }, concurrency: 4 };

test("what the gateway answers by itself leaves the connection open for the next request, unless a body has not been read", async () => {
  await using served = await serve();
  const { url } = served;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const paths = ["/healthz", "/metrics", "/nobody/home", "/v1/apps"];
  const answers: Answer[] = [];
  for (const path of paths) answers.push(await get(url + path, agent));
  expect(answers.map(({ status }) => status)).toEqual([503, 200, 404, 401]);
  expect(answers.map(({ headers }) => headers.connection)).toEqual(paths.map(() => "keep-alive"));
  const asked = request(`${url}/nobody/home`, { method: "POST", agent, headers: { "content-length": 5_000_000 } });
  asked.write("the first of many");
  const [response] = await once(asked, "response");
  expect([response.statusCode, response.headers.connection]).toEqual([404, "close"]);
  asked.on("error", quiet).destroy();
  agent.destroy();
});

test("deploying under a hundred requests a second fails none, and each is answered by the digest that it names and that was promoted", async () => {
  await using served = await serve();
  const { place, url } = served;
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const publishes = ["v1", "v2", "v3", "never"].map((version, at) => makePublish(version, [price], { id: at + 1 }));
  const digests = publishes.map(({ versions }) => versions[0]!.digest);
  await publishAndLoad(session, publishes[0]!);
  await pool.deploy({ app: "shop" }, never, quiet);

  const agent = new Agent({ keepAlive: true });
  const ask = () => get(`${url}/shop@live/price`, agent);
  const stop = new AbortController();
  const under: Promise<Answer>[] = [];
  const asking = (async () => {
    for (let next = performance.now(); !stop.signal.aborted; next += 10) {
      under.push(ask());
      await pause(Math.max(0, next + 10 - performance.now()));
    }
  })();
  const settled: string[] = [];
  /** What answers requests that were made once it is said to be deployed. */
  const deployed = async (deploying: Promise<unknown>): Promise<void> => {
    await deploying;
    const answers = await Promise.all(Array.from({ length: 20 }, ask));
    settled.push([...new Set(answers.map((answer) => answer.text))].join(" "));
  };
  for (const publish of publishes.slice(1, 3)) {
    await publishAndLoad(session, publish);
    await deployed(pool.deploy({ app: "shop" }, never, quiet));
  }
  await publishAndLoad(session, publishes[3]!);
  await deployed(pool.deploy({ app: "shop", rollBack: true }, never, quiet));
  stop.abort();
  await asking;
  const answers = await Promise.all(under);
  expect(settled).toEqual([digests[1], digests[2], digests[1]]);
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(answers.filter(({ headers, text: ran }) => headers["hob-version"] !== ran)).toEqual([]);
  expect(answers.filter(({ text: ran }) => !digests.slice(0, 3).includes(ran))).toEqual([]);
  expect(answers.length).toBeGreaterThan(10);
  agent.destroy();
});

test("a request whose body is still on its way when another deployment goes live is answered by the one that it began with", async () => {
  await using served = await serve();
  const { place, url } = served;
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const taking = { ...price, endpoint: { ...price.endpoint, methods: ["POST"] } };
  const [first, second] = ["price", "cost"].map((name, at) => makePublish(name, [{ ...taking, name }], { id: at + 1 }));
  await publishAndLoad(session, first!);
  await pool.deploy({ app: "shop" }, never, quiet);
  const asked = request(`${url}/shop@live/price`, { method: "POST", headers: { "content-length": 8, expect: "100-continue" } });
  await once(asked, "continue"); // its route has been found
  asked.write("half");
  session.send({ $case: "publish", value: { ...second!, removed: ["price"] } });
  await session.next("reloaded", ({ publish }) => publish === 2);
  await pool.deploy({ app: "shop" }, never, quiet);
  asked.end(" way");
  const [response] = await once(asked, "response");
  expect([response.statusCode, await text(response)]).toEqual([200, first!.versions[0]!.digest]);
  const later = await fetch(`${url}/shop@live/price`, { method: "POST", body: "x" });
  expect([later.status, await later.text()]).toEqual([200, second!.versions[0]!.digest]);
});
