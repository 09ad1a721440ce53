// A node that has never seen an image, behind a link of 100 Mbit/s and 20 ms there and back: from the wish for the image to python's first output.
// The node's fetch room and FUSE daemon as the agent has them, in the view that this kernel gives, below a container's overlay; control's Content
// service; python in a chroot in that root.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { mountRoot } from "../../agent/container/root.ts";
import { type FetchRoom, openFetchRoom } from "../../agent/fetch/room.ts";
import { systemClock } from "../../base/clock.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { openLog } from "../../base/log.ts";
import { startFuseServer } from "../../fusefs/connect.ts";
import type { SeenRead } from "../../fusefs/read-log.ts";
import type { FuseServer } from "../../fusefs/server.ts";
import { ContentClient } from "../../proto/gen/hob/v1/content.ts";
import { clientCredentials, contentChannelOptions } from "../../proto/transport.ts";
import { makeRow, quantile, type Row } from "../report.ts";
import { type Debian, makeDebian } from "./debian.ts";
import { firstCalls } from "./first-call.ts";
import { farAddress, type Link, openLink } from "./link.ts";
import { startRival } from "./rival.ts";
import { tenNodes } from "./ten-nodes.ts";

const megabits = 100;
const oneWayMs = 10;
const rounds = 3;
const port = 7000;
const poolPort = 7001;

const programs = [
  { of: "python", text: "print(42)", imports: "", result: "42", expected: "42" },
  {
    ...{ of: "python with numpy", text: "import numpy; print(numpy.arange(10).sum())" },
    ...{ imports: "import numpy", result: "int(numpy.arange(10).sum())", expected: "45" },
  },
];

interface Start {
  ms: number;
  fetchedBytes: number;
  /** Blob with the trace, which control's store has by then. */
  trace: string;
}

function makeFolder(...parts: string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Empty stores on this side of the link; with a trace where the file names one. */
async function start(debian: Debian, link: Link, folder: string, socket: string, program: string): Promise<Start> {
  rmSync(folder, { recursive: true, force: true });
  const point = makeFolder(folder, "image");
  await using stack = new AsyncDisposableStack();
  const client = new ContentClient(`unix:${socket}`, clientCredentials(`unix:${socket}`), contentChannelOptions);
  stack.defer(() => client.close());
  const traced = Promise.withResolvers<string>();
  const log = openLog("bench", join(folder, "fetch.log"));
  const store = openContentFolder(join(folder, "store"), { durable: false });
  const room: FetchRoom = stack.use(
    await openFetchRoom({
      ...{
        store,
        name: "bench",
        run: folder,
        control: () => client,
        controlAddress: `unix:${socket}`,
        clock: systemClock,
        log,
        backfillBytesPerSecond: 0,
      },
      ...{
        readsPastUs: () => fuse.view.kind === "tiered",
        seen: (): Promise<SeenRead[]> => fuse.reads(point),
        traced: (_image, blob) => traced.resolve(blob),
      },
      ...{ trouble: (_image, sentence) => traced.reject(new Error(sentence)), idle: () => false },
    }),
  );
  const fuse: FuseServer = stack.use(
    await startFuseServer({
      store: store.root,
      fetch: room.images.fetch,
      logFile: join(folder, "fuse.log"),
      run: join(folder, "fuse"),
    }),
  );
  const blobs = makeFolder(folder, "blobs");
  if (fuse.view.kind === "tiered") {
    await fuse.mountBlobs(blobs);
    stack.defer(() => fuse.unmount(blobs));
  }
  await after(500); // the room knows by then how far control is
  const before = link.received();
  const began = performance.now();
  await room.images.begin(debian.image);
  await fuse.mountImage(debian.image, point);
  const contents = fuse.view.kind === "tiered" ? [store.root, blobs] : [];
  const writable = makeFolder(folder, "writable");
  for (const layer of ["upper", "work"]) makeFolder(writable, layer);
  const root = mountRoot(makeFolder(folder, "container"), { image: point, contents }, writable, undefined, stack);
  const python = spawn("chroot", [root, "/usr/bin/python3", "-c", program], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(python, "exit");
  await once(python.stdout, "data");
  const ms = performance.now() - began;
  const fetchedBytes = link.received() - before;
  await room.images.answered(debian.image);
  await exited;
  const trace = await Promise.race([traced.promise, after(2000, "")]);
  stack.defer(() => fuse.unmount(point));
  return { ms, fetchedBytes, trace };
}

export async function lazyImages(options: { say(text: string): void }): Promise<Row[]> {
  const lacking = ["mmdebstrap", "umoci", "skopeo", "docker-registry", "tc"].filter(
    (name) => spawnSync("which", [name]).status !== 0,
  );
  if (lacking.length > 0 || process.getuid?.() !== 0) {
    options.say(`images: starts over a slow link are left out: they need root and ${lacking.join(", ")}`);
    return [];
  }
  const debian = await makeDebian(options.say);
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(work, { recursive: true, force: true }));
  const link = stack.use(await openLink(megabits));
  const traceFile = join(work, "trace");
  const server = spawn(
    process.execPath,
    [join(import.meta.dirname, "content-server.ts"), join(work, "control.sock"), debian.store, traceFile],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  stack.defer(() => void server.stdin.end());
  await once(server.stdout, "data");
  await link.relay("far", `${farAddress}:${port}`, join(work, "control.sock"), oneWayMs);
  await link.relay("near", join(work, "near.sock"), `${farAddress}:${port}`, 0);
  const sockets = { socket: join(work, "pool.sock"), near: join(work, "pool-near.sock") };
  await link.relay("far", `${farAddress}:${poolPort}`, sockets.socket, oneWayMs);
  await link.relay("near", sockets.near, `${farAddress}:${poolPort}`, 0);
  const rival = stack.use(await startRival(debian, link, work, oneWayMs));

  const place = { debian, link, work, sockets, say: options.say };
  const rows: Row[] = [];
  const size = `${Math.round(debian.storedBytes / 1e6)} MB behind ${megabits} Mbit/s and ${2 * oneWayMs} ms`;
  for (const program of programs) {
    const { of, text } = program;
    options.say(`images: ${of}, ${size}, ${rounds} rounds`);
    const [lazy, traced, shares]: number[][] = [[], [], []];
    for (let round = 0; round < rounds; round++) {
      writeFileSync(traceFile, "");
      const first = await start(debian, link, join(work, "node"), join(work, "near.sock"), text);
      writeFileSync(traceFile, first.trace);
      const second = await start(debian, link, join(work, "node"), join(work, "near.sock"), text);
      lazy!.push(first.ms);
      traced!.push(second.ms);
      shares!.push((100 * first.fetchedBytes) / debian.storedBytes);
      options.say(`  ${first.ms.toFixed(0)} ms, with its trace ${second.ms.toFixed(0)} ms`);
    }
    const [lazyMs, tracedMs, share] = [lazy, traced, shares].map((samples) => quantile(samples!, 0.5));
    const whole = { rival: "skopeo, umoci (once), python", rivalValue: rival.start(text) };
    const base = { bench: "images", of, stat: "p50" as const };
    rows.push(
      makeRow({ ...base, row: "first-response-lazy", value: lazyMs!, unit: "ms", ...whole }, { times: 15 }),
      makeRow(
        { ...base, row: "first-response-traced", value: tracedMs!, unit: "ms", rival: "without a trace", rivalValue: lazyMs! },
        { times: 2 },
      ),
      makeRow({ ...base, row: "bytes-fetched-share", value: share!, unit: "%" }, { atMost: 10 }),
      ...(await firstCalls(place, program, whole)),
    );
  }
  return [...rows, ...(await tenNodes(place))];
}
