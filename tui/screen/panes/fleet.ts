// ⑧ Pane 4: containers and latency over time, and how full each node and GPU is.

import type { FleetSample, Gpu, ImageInfo, NodeInfo } from "../../../proto/gen/hob/v1/fleet.ts";
import { type Axes, greatest, niceMax, withAxes } from "../../charts/axes.ts";
import { bar } from "../../charts/bars.ts";
import { lineChart, type Series, stackedChart } from "../../charts/braille.ts";
import { presentBuilds } from "../../model/builds.ts";
import { countContainers, type FleetHistory, type SpanMinutes } from "../../model/fleet.ts";
import { clean, pad } from "../../text.ts";
import { count, duration, size, sizeOf } from "../../units.ts";
import { briefBuildLines } from "../builds.ts";
import { beside, fitting, type Line, line, span } from "../line.ts";
import { blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { linkLines, progressLines } from "./first.ts";

const barColumns = 6;
const mostChartRows = 8;

const gutterColumns = { containers: 5, latency: 8 };
const shortestAxes = 4; // rows, the times included

/** Containers by what they are doing, busy ones at the bottom; told apart without colours too. */
export function containersChart({ tracks }: FleetHistory, minutes: SpanMinutes, width: number, rows: number): Line[] {
  const { busy, warm, starting, created } = tracks[minutes].values;
  const series: Series[] = [
    { values: busy, style: "accent", fill: "solid" },
    { values: warm, style: "plain", fill: "hatched" },
    { values: starting, style: "warn", fill: "solid" },
    { values: created, style: "dim", fill: "dotted" },
  ];
  const max = niceMax(
    greatest(busy.map((value, slot) => value + (warm[slot] ?? 0) + (starting[slot] ?? 0) + (created[slot] ?? 0))),
    4,
  );
  const gutter = gutterColumns.containers;
  const draw = (height: number): Line[] => stackedChart(series, width - gutter, height, max);
  return framed(draw, rows, { top: count(max), minutes, width, gutter });
}

export function latencyChart({ tracks }: FleetHistory, minutes: SpanMinutes, width: number, rows: number): Line[] {
  const { p50Ms, p99Ms } = tracks[minutes].values;
  const series: Series[] = [
    { values: p99Ms, style: "dim", fill: "line" },
    { values: p50Ms, style: "accent", fill: "line" },
  ];
  const max = niceMax(greatest(p99Ms, p50Ms), 10);
  const top = max < 1000 ? `${max} ms` : max < 60_000 ? `${max / 1000} s` : duration(max);
  const gutter = gutterColumns.latency;
  const draw = (height: number): Line[] => lineChart(series, width - gutter, height, max);
  return framed(draw, rows, { top, minutes, width, gutter });
}

export function queueChart({ tracks }: FleetHistory, minutes: SpanMinutes, width: number, rows: number): Line[] {
  const { queued } = tracks[minutes].values;
  const max = niceMax(greatest(queued), 10);
  const gutter = gutterColumns.containers;
  const draw = (height: number): Line[] =>
    stackedChart([{ values: queued, style: "warn", fill: "solid" }], width - gutter, height, max);
  return framed(draw, rows, { top: max < 1000 ? count(max) : `${max / 1000}k`, minutes, width, gutter });
}

/** With its axes; the times below it only where there is room for them. */
function framed(draw: (height: number) => Line[], rows: number, axes: Axes): Line[] {
  if (rows <= 0) return [];
  return rows >= shortestAxes ? withAxes(draw(rows - 1), axes) : withAxes(draw(rows), axes).slice(0, rows);
}

/** "containers 13  2 busy 9 warm 1 starting 1 in reserve". */
export function containersLabel(sample: FleetSample, width: number): Line {
  const { created, starting, warm, busy } = countContainers(sample);
  const all: Line = [span(" containers ", "dim"), span(`${starting + warm + busy}`, "strong")];
  const inUse: Line = [...all, span(`  ${busy} busy`, busy > 0 ? "accent" : "dim")];
  const rest = `${starting > 0 ? ` ${starting} starting` : ""}${created > 0 ? ` ${created} in reserve` : ""}`;
  const each: Line = [...inUse, span(` ${warm} warm`, "dim"), span(rest, "dim")];
  return fitting([each, inUse, all], width);
}

export function latencyLabel({ latencyP50Ms, latencyP99Ms }: FleetSample, width: number): Line {
  const idle = latencyP50Ms === 0 && latencyP99Ms === 0;
  const of = (ms: number): string => (idle ? "–" : duration(ms));
  const latency: Line = [span("p50 ", "dim"), span(of(latencyP50Ms), "accent"), span(" p99 ", "dim"), span(of(latencyP99Ms))];
  return fitting([[span("latency ", "dim"), ...latency], latency], width);
}

/** One row of labels with the latest values, then the two charts beside each other. */
function chartLines(
  history: FleetHistory,
  sample: FleetSample,
  { minutes, width, rows }: { minutes: SpanMinutes; width: number; rows: number },
): Line[] {
  const leftWidth = Math.floor(width / 2);
  const rightWidth = width - leftWidth - 1;
  const labels = beside(containersLabel(sample, leftWidth - 1), leftWidth, latencyLabel(sample, rightWidth));
  const left = containersChart(history, minutes, leftWidth - 1, rows);
  const right = latencyChart(history, minutes, rightWidth, rows);
  return [labels, ...left.map((spans, row) => beside(spans, leftWidth, right[row] ?? []))];
}

const load = (share: number): Line => bar(share, barColumns, share >= 0.9 ? "warn" : "accent");

function nodeLine(node: NodeInfo, nameColumns: number, width: number, full: boolean): Line {
  const name = span(` ${pad(clean(node.name), nameColumns)}`, "strong");
  if (node.state !== "ready")
    return [name, span(node.state === "lost" ? "  ✗ lost" : `  ◌ ${node.state}`, node.state === "lost" ? "bad" : "accent")];
  const cpu = node.cores > 0 ? node.cpuUsed / node.cores : 0;
  const memory = node.memoryBytes > 0 ? node.memoryUsedBytes / node.memoryBytes : 0;
  const used: Line = [name, span("  cpu ", "dim"), ...load(cpu), span(` ${pad(`${Math.round(cpu * 100)} %`, 5, "right")}`)];
  const held: Line = [span("   mem ", "dim"), ...load(memory), span(` ${sizeOf(node.memoryUsedBytes, node.memoryBytes)}`)];
  const moved: Line = [span("   net ", "dim"), span(networkText(node))];
  const stored: Line = [span("   blobs ", "dim"), span(size(node.storeBytes))];
  if (full) return fitting([[...used, ...held], used], width);
  return fitting([[...used, ...held, ...moved, ...stored], [...used, ...held, ...stored], [...used, ...held], used], width);
}

const networkText = ({ receivedBytesPerSecond, sentBytesPerSecond }: NodeInfo): string =>
  `↓ ${size(receivedBytesPerSecond)}/s ↑ ${size(sentBytesPerSecond)}/s`;

/** Below the bars: network, blobs, how much of its images a node has, and how often a first start found what it read there. */
function nodeDetails(node: NodeInfo, nameColumns: number, width: number): Line {
  const { images, fetchedBytes, storeBytes } = node;
  const total = (of: (image: ImageInfo) => number): number => images.reduce((sum, image) => sum + of(image), 0);
  const [reads, hits] = [total(({ firstReadBlobs }) => firstReadBlobs), total(({ firstReadHits }) => firstReadHits)];
  const stored = total((image) => image.storedBytes);
  const here = stored > 0 ? Math.floor((100 * total(({ localBytes }) => localBytes)) / stored) : 100;
  const net: Line = [span(" ".repeat(nameColumns + 3)), span("net ", "dim"), span(networkText(node))];
  const blobs: Line = [span("   blobs ", "dim"), span(size(storeBytes)), span(`, ${here} % of images here`, "dim")];
  const cache: Line =
    reads > 0
      ? [span("   cache hits ", "dim"), span(`${Math.floor((100 * hits) / reads)} %`), span(` of ${count(reads)}`, "dim")]
      : [];
  const fetched: Line = fetchedBytes > 0 ? [span("   fetched ", "dim"), span(size(fetchedBytes))] : [];
  return fitting([[...net, ...blobs, ...cache, ...fetched], [...net, ...blobs, ...cache], [...net, ...cache], net], width);
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

/** `full`: on a line more, with what a pane has no room for. */
export function nodeLines(nodes: readonly NodeInfo[], columns: number, full = false): Line[] {
  const width = columns - 1; // a blank before the border
  const nameColumns = Math.min(20, Math.max(...nodes.map(({ name }) => clean(name).length), 4));
  return nodes.flatMap((node) => [
    nodeLine(node, nameColumns, width, full),
    ...(full && node.state === "ready" ? [nodeDetails(node, nameColumns, width)] : []),
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
  const charts = chartLines(state.fleet, sample, { minutes: state.spanMinutes, width, rows });
  const { lines, viewport } = windowOf([blockOf(below)], state.scroll.fleet, height - charts.length);
  const hidden = viewport.total - lines.length;
  return { title: [...title, span(hidden > 0 ? `  ${hidden} more lines` : "", "dim")], lines: [...charts, ...lines], viewport };
}
