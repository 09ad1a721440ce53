// An endpoint's echo through the gateway on warm containers: how long one takes, how many a second go through, and whether ten thousand idle
// connections and a thousand slow ones are in their way. Beside it the same handler under node, and under uvicorn.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DevLine, type DevProcess, startDev } from "../test/drive/dev-process.ts";
import { openAsker, type Target } from "./gateway-asker.ts";
import { idle, slow, startCrowd } from "./gateway-crowd.ts";
import { deployUnderLoad } from "./gateway-deploy.ts";
import { startNode, startUvicorn } from "./gateway-rivals.ts";
import { makeRow, quantile, type Row } from "./report.ts";

const python = `import hob

app = hob.App("bench")

@app.endpoint(concurrency=4, max_containers=1)
def echo(text: str):
    return {"text": text}
`;
const typescript = `import { App } from "hob";

const app = new App("bench-ts");
export const echo = app.fetch({ maxContainers: 1 }, (request: Request) => Response.json({ text: new URL(request.url).searchParams.get("text") }));
`;
const deployable = (version: string): string => `import hob

app = hob.App("bench-deploy")

@app.endpoint(concurrency=4)
def which():
    return "${version}"
`;

const warmUp = 300;
/** Both sides' compilers have seen the way by then. */
const warmUpMany = 2_000;
const oneByOneCount = 1_000;
const atATime = 16;
const manyCount = 6_000;

async function oneByOne(target: Target): Promise<number[]> {
  const asker = await openAsker(target);
  const times: number[] = [];
  for (let n = 0; n < warmUp + oneByOneCount; n++) {
    const ms = await asker.ask(n);
    if (n >= warmUp) times.push(ms);
  }
  asker.socket.destroy();
  return times;
}

/** Requests a second, with so many under way. */
async function perSecond(target: Target): Promise<number> {
  const askers = await Promise.all(Array.from({ length: atATime }, () => openAsker(target)));
  const askAll = async (count: number): Promise<number> => {
    let next = 0;
    const begin = performance.now();
    await Promise.all(
      askers.map(async ({ ask }) => {
        while (next < count) await ask(next++);
      }),
    );
    return (count / (performance.now() - begin)) * 1000;
  };
  await askAll(warmUpMany);
  const rate = await askAll(manyCount);
  for (const { socket } of askers) socket.destroy();
  return rate;
}

interface Measured {
  times: number[];
  rate: number;
}

const measured = async (target: Target): Promise<Measured> => ({ times: await oneByOne(target), rate: await perSecond(target) });

function rowsOf(row: string, own: Measured, rival: Measured & { name: string }): Row[] {
  const base = { bench: "gateway", row, rival: rival.name };
  const p50 = { value: quantile(own.times, 0.5), rivalValue: quantile(rival.times, 0.5) };
  const p99 = { value: quantile(own.times, 0.99), rivalValue: quantile(rival.times, 0.99) };
  return [
    makeRow({ ...base, stat: "p50", unit: "ms", ...p50 }, { atMost: 4 }),
    makeRow({ ...base, stat: "p99", unit: "ms", ...p99 }),
    makeRow(
      { ...base, row: `${row}-rate`, stat: "mean", unit: "1/s", value: own.rate, rivalValue: rival.rate },
      { atLeast: 1_000 },
    ),
  ];
}

/** Beside the crowd, which is still there when it has been measured. */
async function inACrowd(target: Target): Promise<Measured> {
  const crowd = await startCrowd(target);
  try {
    const figures = await measured(target);
    const present = await crowd.present();
    if (present < idle + slow) throw new Error(`only ${present} of the idle and slow connections were there at the end`);
    return figures;
  } finally {
    crowd.leave();
  }
}

async function saveVersion(dev: DevProcess, project: string, version: string): Promise<void> {
  writeFileSync(join(project, "deployed.py"), deployable(version));
  const isIt = ({ event, files }: DevLine): boolean => event === "reload" && String(files).includes("deployed.py");
  await dev.next(`${version} in place`, isIt);
}

export async function gateway({ say }: { say(text: string): void }): Promise<Row[]> {
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "app.py"), python);
  writeFileSync(join(project, "app.ts"), typescript);
  writeFileSync(join(project, "deployed.py"), deployable("v0"));
  const environment = { XDG_STATE_HOME: join(work, "state"), XDG_CACHE_HOME: join(work, "cache"), HOB_LINGER_MS: "3000" };
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(work, { recursive: true, force: true }));
  const node = await startNode(work);
  stack.defer(node.stop);
  const uvicorn = await startUvicorn(work);
  if (uvicorn) stack.defer(uvicorn.stop);
  else say("gateway: no uvicorn (install python3-uvicorn): Python stands beside node instead");
  const dev = stack.use(startDev(project, [], environment));
  const { line } = await dev.next("ready", ({ event }) => event === "ready");
  const targets = (line["urls"] as string[]).map((url): Target => {
    const { hostname: host, port, pathname: path } = new URL(url);
    return { host, port: Number(port), path };
  });
  const [inPython, inTypeScript] = ["/bench/", "/bench-ts/"].map((start) => targets.find(({ path }) => path.startsWith(start))!);
  say(`gateway: ${oneByOneCount} requests one after the other, then ${manyCount} with ${atATime} at a time`);
  const besideNode = { name: node.name, ...(await measured(node.target)) };
  const besideUvicorn = uvicorn ? { name: uvicorn.name, ...(await measured(uvicorn.target)) } : besideNode;
  const rows = [
    ...rowsOf("echo-python", await measured(inPython!), besideUvicorn),
    ...rowsOf("echo-typescript", await measured(inTypeScript!), besideNode),
  ];
  const url = (line["urls"] as string[])
    .find((each) => each.includes("/bench-deploy/"))!
    .replace("/bench-deploy/", "/bench-deploy@live/");
  const deployed = await deployUnderLoad(
    { project, environment, url, save: (version) => saveVersion(dev, project, version) },
    say,
  );
  say(`gateway: the same beside ${idle} idle connections and ${slow} slow ones`);
  return [...rows, ...deployed, ...rowsOf("echo-python-in-a-crowd", await inACrowd(inPython!), besideUvicorn)];
}
