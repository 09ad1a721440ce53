// ⑧ `hob pool`: the nodes and their containers; `hob pool stop` ends this installation's own pool; what is done to members is in pool-members.ts.

import type { Command } from "commander";
import type { ContainerInfo, FleetSample, Gpu, NodeInfo } from "../proto/gen/hob/v1/fleet.ts";
import { runningControl } from "./control-address.ts";
import { formatBytes } from "./format/bytes.ts";
import { formatMs } from "./format/duration.ts";
import type { Column } from "./format/table.ts";
import { interruptSignal } from "./interrupt.ts";
import { printJson, printLine, printTable } from "./output.ts";
import { addPoolAdd } from "./pool-add.ts";
import { addPoolMembers } from "./pool-members.ts";

interface PoolFlags {
  control?: string;
  json?: boolean;
}

export function addPool(program: Command): void {
  const pool = program
    .command("pool")
    .description("nodes and containers of the pool")
    .option("--control <address>", "control to ask: unix:PATH or hob://HOST:PORT")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExamples:\n  hob pool --json\n  hob pool stop\n")
    .action(show);
  pool
    .command("stop")
    .description("end this installation's pool, in order: calls that run may finish for 10 s")
    .option("--control <address>", "control to ask: unix:PATH")
    .option("--now", "do not wait for calls that run")
    .option("--force", "also remove what pools that were killed have left on this machine")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob pool stop --force\n")
    // The same option may stand before and after `stop`: optsWithGlobals knows both.
    .action((_: unknown, command: Command) => stop(command.optsWithGlobals()));
  addPoolMembers(pool);
  addPoolAdd(pool);
}

const nodeColumns: Column[] = [
  { title: "NODE" },
  { title: "STATE" },
  { title: "CPU", align: "right" },
  { title: "MEMORY", align: "right" },
  { title: "BLOBS", align: "right" },
  { title: "GPUS", align: "right" },
  { title: "CONTAINERS" },
  { title: "VERSION" },
];

const containerColumns: Column[] = [
  { title: "CONTAINER" },
  { title: "STATE" },
  { title: "APP" },
  { title: "LANGUAGE" },
  { title: "MEMORY", align: "right" },
  { title: "CPU", align: "right" },
  { title: "CALLS", align: "right" },
  { title: "AGE", align: "right" },
  { title: "NODE" },
];

const gpuColumns: Column[] = [
  { title: "GPU" },
  { title: "USE", align: "right" },
  { title: "MEMORY", align: "right" },
  { title: "TEMP", align: "right" },
  { title: "HELD BY" },
  { title: "NODE" },
];

async function show(flags: PoolFlags): Promise<void> {
  const { openPoolClient } = await import("./pool-client.ts");
  using pool = openPoolClient(await runningControl(flags.control));
  const sample = await pool.fleet();
  if (flags.json) return printObjects(sample);
  const nowMs = Date.now();
  if (sample.nodes.length === 0) printLine("No nodes: no agent is connected.");
  else printTable(nodeColumns, sample.nodes.map(nodeRow));
  for (const { name, network } of sample.nodes) {
    if (network && network !== "internet") printLine(`Containers of ${name} have no network: ${network}.`);
  }
  const rows = sample.nodes.flatMap((node) => node.containers.map((container) => containerRow(container, node, nowMs)));
  if (rows.length > 0) {
    printLine("");
    printTable(containerColumns, rows);
  }
  const gpus = sample.nodes.flatMap((node) => node.gpus.map((gpu, index) => gpuRow(gpu, index, node)));
  if (gpus.length > 0) {
    printLine("");
    printTable(gpuColumns, gpus);
    for (const { name, gpus: own } of sample.nodes) {
      for (const obstacle of new Set(own.map((gpu) => gpu.obstacle).filter(Boolean))) {
        printLine(`Containers of ${name} cannot be given a GPU: ${obstacle}.`);
      }
    }
  }
  printLine("");
  const latency =
    sample.latencyP50Ms > 0 ? `, latency p50 ${formatMs(sample.latencyP50Ms)} p99 ${formatMs(sample.latencyP99Ms)}` : "";
  printLine(`${sample.running} running, ${sample.queued} queued, ${sample.clients} connected clients${latency}`);
}

function nodeRow(node: NodeInfo): string[] {
  return [
    node.name,
    node.cordoned && node.state !== "lost" ? `${node.state}, cordoned` : node.state,
    `${node.cpuUsed.toFixed(1)} / ${node.cores} cores`,
    `${formatBytes(node.memoryUsedBytes)} / ${formatBytes(node.memoryBytes)}`,
    formatBytes(node.storeBytes),
    String(node.gpus.length),
    statesOf(node.containers),
    node.version,
  ];
}

const stateOrder = ["specialised", "warm", "created", "starting", "stopping"] as const;

function countStates(containers: readonly ContainerInfo[]): Record<(typeof stateOrder)[number], number> {
  const counts = { specialised: 0, warm: 0, created: 0, starting: 0, stopping: 0 };
  for (const { state } of containers) if (state in counts) counts[state as keyof typeof counts] += 1;
  return counts;
}

/** "3 specialised, 2 warm, 2 created" */
function statesOf(containers: readonly ContainerInfo[]): string {
  const counts = countStates(containers);
  const told = stateOrder.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${state}`);
  return told.join(", ") || "none";
}

/** Held by a container of ours, with its functions; else by whatever runs on it. */
function gpuRow(gpu: Gpu, index: number, node: NodeInfo): string[] {
  const holder = node.containers.find(({ gpus }) => gpus.includes(gpu.uuid));
  const others = gpu.processes.filter(({ container }) => container === "").map(({ name, pid }) => `${name} (pid ${pid})`);
  const held = holder ? [holder.id, holder.app, gpu.functions.join(", ")].filter(Boolean).join("  ") : others.join(", ");
  return [
    `${index} ${gpu.name}`,
    `${Math.round(gpu.utilisation * 100)} %`,
    `${formatBytes(gpu.memoryUsedBytes)} / ${formatBytes(gpu.memoryTotalBytes)}`,
    `${Math.round(gpu.temperatureC)} °C`,
    held || "–",
    node.name,
  ];
}

function containerRow(container: ContainerInfo, node: NodeInfo, nowMs: number): string[] {
  const limit = container.resourceClass?.memoryBytes ?? 0;
  return [
    container.id,
    container.state,
    container.app || "–",
    container.resourceClass?.language ?? "",
    limit > 0 ? `${formatBytes(container.memoryBytes)} / ${formatBytes(limit)}` : formatBytes(container.memoryBytes),
    container.cpuCores.toFixed(2),
    String(container.calls.length),
    container.startedAtMs > 0 ? formatMs(nowMs - container.startedAtMs) : "–",
    node.name,
  ];
}

function printObjects(sample: FleetSample): void {
  const { nodes, ...totals } = sample;
  printJson({ kind: "pool", ...totals, nodes: nodes.length });
  for (const { containers, images: _, ...node } of nodes) {
    printJson({ kind: "node", ...node, containers: containers.length, containerStates: countStates(containers) });
    for (const container of containers) printJson({ kind: "container", node: node.name, ...container });
  }
}

/** How long calls may go on when the pool ends in order. */
const patienceMs = 10_000;

async function stop(flags: PoolFlags & { force?: boolean; now?: boolean }): Promise<void> {
  const { stopPool, sweepDead } = await import("./pool-stop.ts");
  using interrupt = interruptSignal(); // ctrl-c: no more patience with the calls; once more: no more with the pool
  const stopped = await stopPool(flags.control, flags.now ? 0 : patienceMs, interrupt.signal);
  const swept = flags.force ? await sweepDead() : undefined;
  if (flags.json) return printJson({ kind: "stopped", pool: stopped, ...swept });
  printLine(stopped ? "The pool has ended." : "No pool was running.");
  if (swept)
    printLine(
      `Removed what dead pools had left: ${swept.containers} containers, ${swept.cgroups} cgroups, ${swept.folders} folders.`,
    );
}
