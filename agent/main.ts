// ⑤ The agent daemon: makes sure of the machine, clears what a former one left, opens the node, and keeps the link to control.

import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { HobError, sentenceOf } from "../base/errors.ts";
import { installRoot } from "../base/install.ts";
import { openLog } from "../base/log.ts";
import { openRest } from "../base/rest.ts";
import { CallsClient } from "../proto/gen/hob/v1/calls.ts";
import { ContentClient } from "../proto/gen/hob/v1/content.ts";
import { ShellsClient } from "../proto/gen/hob/v1/shell.ts";
import { startPractice } from "../proto/practice.ts";
import { channelOptionsOf, clientCredentials, contentChannelOptions } from "../proto/transport.ts";
import { identify } from "./container/process.ts";
import { adoptOrphans } from "./container/system-calls.ts";
import { openControlLink } from "./control-link.ts";
import { clearNetwork } from "./network/network.ts";
import { openNode } from "./node.ts";
import type { Message } from "./outbox.ts";
import { rehearseAgent } from "./practice.ts";
import { requireAgentMachine } from "./requirements.ts";
import { agentPaths, makeAgentFolders, makeRunFolder, writeOwner } from "./run-folder.ts";
import { isLock, lockRunFolder, type RunLock } from "./run-lock.ts";
import { compileSdk, copySdk } from "./sdk-copy.ts";
import { clearContainers, removeAgentFolders, sweep, sweepRunFolder } from "./sweep.ts";

export interface AgentOptions {
  /** "unix:PATH", or "hob://HOST:PORT", which has been introduced (proto/transport.ts). */
  control: string;
  /** The node's name. */
  name: string;
  /** Run folder, e.g. /run/hob/KEY. */
  run: string;
  key: string;
  /** Folder of blobs. */
  store: string;
  /** What blobs may take of the disk; no limit where the store is control's too, which is an embedded pool's: there gc alone removes. */
  storeLimitBytes?: number;
  /** Folder of logs. */
  state: string;
  /** The end of stdin, that is of the parent, ends the agent. */
  embedded: boolean;
  build: string;
  /** Of the rest of lazy images, when the node is idle; 0: none. */
  backfillBytesPerSecond: number;
  /** Node 24 binary that goes into images. */
  node: string;
}

const sampleEveryMs = 500;
/** For a predecessor that ends, or is out of breath. */
const predecessorPatienceMs = 10_000;
/** For one that serves: its parent may have ended a moment ago, and started us. */
const servingPatienceMs = 1_500;

/** Runs until `signal`, control's wish, or (embedded) the parent's end; then ends everything in order and resolves. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  requireAgentMachine();
  process.umask(0o022);
  const log = openLog("agent", join(options.state, "agent.log"));
  const ending = new AbortController();
  const end = (reason: unknown): void => ending.abort(reason);
  signal.addEventListener("abort", () => end(signal.reason), { once: true });
  if (signal.aborted) end(signal.reason);
  if (options.embedded) {
    process.stdin.on("error", end).on("end", () => end(new HobError("cancelled", "the parent has ended")));
    process.stdin.resume();
  }
  let fault: HobError | undefined; // of the node itself: the agent then ends with it

  await using stack = new AsyncDisposableStack();
  if (options.embedded) stack.defer(() => void process.stdin.destroy()); // it would keep the process alive
  const lock = stack.use(await takeRunFolder(options)); // let go of last
  stack.defer(async () => void (await removeAgentFolders(options.run)));
  const paths = makeAgentFolders(options.run);
  copySdk(join(installRoot, "sdk"), paths.sdk);
  stack.use(compileSdk(paths.sdk));
  adoptOrphans();

  const contentClient = new ContentClient(options.control, clientCredentials(options.control), contentChannelOptions);
  stack.defer(() => contentClient.close());
  const shellsClient = new ShellsClient(options.control, clientCredentials(options.control), channelOptionsOf(options.control)); // its bytes delay nobody's blobs
  stack.defer(() => shellsClient.close());
  const callsClient = new CallsClient(options.control, clientCredentials(options.control), channelOptionsOf(options.control)); // nor do the maps of functions
  stack.defer(() => callsClient.close());
  const early: Message[] = [];
  let send = (message: Message): void => void early.push(message);
  const node = await openNode({
    ...{ options, paths, log },
    shutdown: (reason) => {
      if (reason.kind !== "cancelled") fault = reason;
      end(reason);
    },
    content: () => contentClient,
    shells: () => shellsClient,
    calls: () => callsClient,
    send: (message) => send(message),
  });
  stack.use(node);
  const rest = stack.use(openRest());
  const link = openControlLink(
    {
      control: options.control,
      hello: () => ({ node: node.info(), build: options.build, calls: node.calls(), peerAddress: node.peerAddress }),
      onCommand(command) {
        node.command(command);
        rest.worked();
      },
      onLost: () => node.controlLost(),
      log,
    },
    ending.signal,
  );
  send = link.send;
  for (const message of early) send(message);
  stack.use(startPractice((unless) => rehearseAgent(paths.practice, unless), rest, log));
  const sampling = setInterval(() => send({ $case: "sample", value: node.info() }), sampleEveryMs);
  stack.defer(() => clearInterval(sampling));
  try {
    await link.ended;
  } catch (error) {
    fault = new HobError("denied", `joining the pool at ${options.control}: ${sentenceOf(error)}`, { cause: error });
    end(fault);
  }
  lock.use("ends");
  log.info({ reason: sentenceOf(ending.signal.reason) }, "ending");
  if (fault) throw fault;
}

/** Makes the run folder ours, and clears what a predecessor has left in it. One may still be on its way out; one that stays is an error. */
async function takeRunFolder(options: AgentOptions): Promise<RunLock> {
  const { run, key } = options;
  const begin = performance.now();
  let lock = await lockRunFolder(run, "serves");
  while (!isLock(lock)) {
    const patienceMs = lock !== "unknown" && lock.use === "serves" ? servingPatienceMs : predecessorPatienceMs;
    if (performance.now() - begin > patienceMs) {
      const who = lock === "unknown" ? "" : ` (pid ${lock.pid})`;
      throw new HobError("precondition", `another agent${who} uses ${run}`, { remedy: "end it first" });
    }
    await after(50);
    lock = await lockRunFolder(run, "serves");
  }
  await sweepRunFolder(run);
  await sweep(dirname(run)); // those of others
  await clearContainers(key, agentPaths(run).runc); // whatever bears our key, even where the run folder was lost
  await clearNetwork(key, run);
  makeRunFolder(run);
  const agent = identify(process.pid);
  if (!agent) throw new HobError("internal", "this process is not in /proc", { remedy: "mount /proc" });
  writeOwner(run, { key, agent });
  return lock;
}
