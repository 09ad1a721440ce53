// ⑧ Pane 4: containers and latency over time, and how full each node and GPU is.

import type { FleetSample, Gpu, NodeInfo } from "../../../proto/gen/hob/v1/fleet.ts";
import { bar } from "../../charts/bars.ts";
import { brailleChart } from "../../charts/braille.ts";
import { presentBuilds } from "../../model/builds.ts";
import { countContainers, type FleetHistory } from "../../model/fleet.ts";
import { clean, pad } from "../../text.ts";
import { count, duration, size, sizeOf } from "../../units.ts";
import { briefBuildLines } from "../builds.ts";
import { beside, fitting, type Line, line, span } from "../line.ts";
import { blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { linkLines, progressLines } from "./first.ts";

const barColumns = 6;
const mostChartRows = 8;

function greatest(...series: Float64Array[]): number {
  let max = 0;
  for (const values of series) for (const value of values) if (value > max) max = value;
  return max;
}

/** One row of labels with the latest values, then the two charts beside each other. */
export function chartLines(history: FleetHistory, sample: FleetSample, width: number, rows: number): Line[] {
  const leftWidth = Math.floor(width / 2);
  const rightWidth = width - leftWidth - 1;
  const { created, starting, warm, busy } = countContainers(sample);
  const all: Line = [span(" containers ", "dim"), span(`${starting + warm + busy}`, "strong")];
  const inUse: Line = [...all, span(`  ${busy} busy`, busy > 0 ? "accent" : "dim")];
  const rest = `${starting > 0 ? ` ${starting} starting` : ""}${created > 0 ? ` ${created} in reserve` : ""}`;
  const each: Line = [...inUse, span(` ${warm} warm`, "dim"), span(rest, "dim")];
  const idle = sample.latencyP50Ms === 0 && sample.latencyP99Ms === 0;
  const p50 = idle ? "–" : duration(sample.latencyP50Ms);
  const p99 = idle ? "–" : duration(sample.latencyP99Ms);
  const latency: Line = [span("p50 ", "dim"), span(p50, "accent"), span(" p99 ", "dim"), span(p99)];
  const labels = beside(
    fitting([each, inUse, all], leftWidth - 1),
    leftWidth,
    fitting([[span("latency ", "dim"), ...latency], latency], rightWidth),
  );

  const area = brailleChart(
    [
      { values: history.total, style: "dim", filled: true },
      { values: history.busy, style: "accent", filled: true },
    ],
    leftWidth - 2,
    rows,
    Math.max(4, greatest(history.total)),
  );
  const lines = brailleChart(
    [
      { values: history.p99Ms, style: "dim", filled: false },
      { values: history.p50Ms, style: "accent", filled: false },
    ],
    rightWidth,
    rows,
    greatest(history.p99Ms, history.p50Ms) * 1.1,
  );
  const charts = area.map((left, row) => beside([span(" "), ...left], leftWidth, lines[row] ?? []));
  return [labels, ...charts];
}

const load = (share: number): Line => bar(share, barColumns, share >= 0.9 ? "warn" : "accent");

function nodeLine(node: NodeInfo, nameColumns: number, width: number): Line {
  const name = span(` ${pad(clean(node.name), nameColumns)}`, "strong");
  if (node.state !== "ready")
    return [name, span(node.state === "lost" ? "  ✗ lost" : `  ◌ ${node.state}`, node.state === "lost" ? "bad" : "accent")];
  const cpu = node.cores > 0 ? node.cpuUsed / node.cores : 0;
  const memory = node.memoryBytes > 0 ? node.memoryUsedBytes / node.memoryBytes : 0;
  const used: Line = [name, span("  cpu ", "dim"), ...load(cpu), span(` ${pad(`${Math.round(cpu * 100)} %`, 5, "right")}`)];
  const held: Line = [span("   mem ", "dim"), ...load(memory), span(` ${sizeOf(node.memoryUsedBytes, node.memoryBytes)}`)];
  const stored: Line = [span("   blobs ", "dim"), span(size(node.storeBytes))];
  return fitting([[...used, ...held, ...stored], [...used, ...held], used], width);
}

function gpuLine(gpu: Gpu, index: number, width: number): Line {
  const used: Line = [
    span(`   gpu${index} ${gpu.name}  `, "dim"),
    ...load(gpu.utilisation),
    span(` ${Math.round(gpu.utilisation * 100)} %`),
  ];
  const rest: Line = [
    span(`   ${sizeOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}   ${Math.round(gpu.temperatureC)} °C`, "plain"),
  ];
  // Ours by function; what else runs on it by its program.
  const others = gpu.processes.filter(({ container }) => container === "").map(({ name }) => name.split("/").at(-1) ?? name);
  const names = [...gpu.functions, ...others];
  const users: Line = [span(names.length > 0 ? `   ${names.join(", ")}` : "", "dim")];
  return fitting([[...used, ...rest, ...users], [...used, ...rest], used], width);
}

export function nodeLines(nodes: readonly NodeInfo[], width: number): Line[] {
  const nameColumns = Math.min(20, Math.max(...nodes.map(({ name }) => clean(name).length), 4));
  return nodes.flatMap((node) => [
    nodeLine(node, nameColumns, width),
    ...node.gpus.map((gpu, index) => gpuLine(gpu, index, width)),
  ]);
}

export function drawFleet({ state, nowMs, width, height }: DrawContext): Drawn {
  const sample = state.fleet.latest;
  const queued = sample?.queued ?? 0;
  const title: Line = [span("4 Fleet"), span(sample ? `  queue ${count(queued)}` : "", queued > 0 ? "warn" : "dim")];
  const live = state.link.state === "live";
  const progress = live ? [...briefBuildLines(presentBuilds(state), width), ...progressLines(state.progress, width)] : [];
  if (!sample) {
    const waiting = progress.length > 0 ? progress : [line(" no sample of the pool yet", "dim")];
    return { title, lines: waiting.slice(0, height) };
  }
  const filter = state.filters.fleet.toLowerCase();
  const nodes = sample.nodes.filter(({ name }) => name.toLowerCase().includes(filter));
  const below = [...linkLines(state, nowMs, width), ...progress, ...nodeLines(nodes, width)];
  if (nodes.length === 0)
    below.push(line(filter === "" ? " no node has joined the pool" : ` no node contains "${filter}"`, "dim"));
  const rows = Math.min(mostChartRows, Math.max(0, height - 1 - Math.max(1, below.length)));
  const charts = chartLines(state.fleet, sample, width, rows);
  const { lines, viewport } = windowOf([blockOf(below)], state.scroll.fleet, height - charts.length);
  const hidden = viewport.total - lines.length;
  return { title: [...title, span(hidden > 0 ? `  ${hidden} more lines` : "", "dim")], lines: [...charts, ...lines], viewport };
}
