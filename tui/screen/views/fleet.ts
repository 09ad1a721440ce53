// ⑧ The fleet in full: charts, how full each node is, every container, the images and how much of them is local.

import type { ContainerInfo, FleetSample } from "../../../proto/gen/hob/v1/fleet.ts";
import { type ContainerCounts, doingOf } from "../../model/fleet.ts";
import type { State } from "../../model/state.ts";
import { pad } from "../../text.ts";
import { count, duration, size } from "../../units.ts";
import { donutLines, type Share } from "../donuts.ts";
import { beside, type Line, line, type Span, span } from "../line.ts";
import { blockOf } from "../output.ts";
import { containersChart, containersLabel, latencyChart, latencyLabel, nodeLines, queueChart } from "../panes/fleet.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";
import { imageLines } from "./images.ts";

const chartRows = { few: 7, many: 12 };
const manyRowsFrom = 40;
const threeChartsFrom = 150; // columns

const doingMarks: Record<keyof ContainerCounts, Span> = {
  created: span("· reserve ", "dim"),
  starting: span("◌ starting", "accent"),
  warm: span("○ warm    ", "plain"),
  busy: span("● busy    ", "accent"),
  stopping: span("– stopping", "dim"),
};

/** How full the first nodes and their GPUs are, at a glance. */
function capacity({ nodes }: FleetSample): Share[] {
  const ready = nodes.filter(({ state }) => state === "ready");
  return ready.flatMap((node) => {
    const name = ready.length > 1 ? `${node.name} ` : "";
    return [
      { label: `${name}cpu`, part: node.cpuUsed, whole: node.cores },
      { label: `${name}mem`, part: node.memoryUsedBytes, whole: node.memoryBytes },
      ...node.gpus.flatMap(({ utilisation, memoryUsedBytes, memoryTotalBytes }, index) => [
        { label: `${name}gpu${index}`, part: utilisation, whole: 1 },
        { label: `${name}gpu${index} mem`, part: memoryUsedBytes, whole: memoryTotalBytes },
      ]),
    ];
  });
}

function table(head: string, rows: readonly Line[], none: string): Line[] {
  return [[], line(` ${head}`, "accentStrong"), ...(rows.length > 0 ? rows : [line(`   ${none}`, "dim")])];
}

const widest = 117;
const narrow = 97;

/** Where room is short the columns that say least go first: calls in flight, then the language and the number of processes. */
function containerLine(node: string, container: ContainerInfo, nowMs: number, width: number): Line {
  const { id, app, calls, memoryBytes, cpuCores, pids, startedAtMs, resourceClass } = container;
  const age = startedAtMs > 0 ? duration(Math.max(1000, Math.floor((nowMs - startedAtMs) / 1000) * 1000)) : "";
  const language = width < narrow ? "" : ` ${pad(resourceClass?.language ?? "", 11)}`;
  const processes = width < narrow ? "" : `  ${pad(`${pids} pid${pids === 1 ? "" : "s"}`, 8, "right")}`;
  const inFlight = width < widest || calls.length === 0 ? "" : `  ${count(calls.length)} in flight`;
  return [
    span(`   ${id}  `, "strong"),
    doingMarks[doingOf(container)],
    span(`  ${pad(app === "" ? "generic" : app, width < widest ? 10 : 16)}${language}`),
    span(` ${pad(size(memoryBytes), 8, "right")}  ${pad(`${Math.round(cpuCores * 100)} % cpu`, 9, "right")}${processes}`),
    span(`  ${pad(age, 10, "right")}  ${node}${inFlight}`, "dim"),
  ];
}

/** Containers, latency and, where there is room, what waits; each below its latest values. */
function chartLines({ fleet, spanMinutes }: State, sample: FleetSample, width: number, rows: number): Line[] {
  const columns = width >= threeChartsFrom ? 3 : 2;
  const each = Math.floor(width / columns) - 1;
  const charts = [
    [containersLabel(sample, each), ...containersChart(fleet, spanMinutes, each, rows)],
    [latencyLabel(sample, each), ...latencyChart(fleet, spanMinutes, each, rows)],
    [line(`queue ${count(sample.queued)}`, sample.queued > 0 ? "warn" : "dim"), ...queueChart(fleet, spanMinutes, each, rows)],
  ].slice(0, columns);
  return Array.from({ length: rows + 1 }, (_, row) =>
    charts.reduceRight<Line>((right, chart) => beside(chart[row] ?? [], each + 1, right), []),
  );
}

export function drawFleetView({ state, nowMs, width, height, widgets }: DrawContext): Drawn {
  const title: Line = [span("Fleet"), span(`  last ${state.spanMinutes} min (z: another span)`, "dim")];
  const sample = state.fleet.latest;
  if (!sample) return { title, lines: [line(" no sample of the pool yet", "dim")] };
  const filter = state.filters.fleet.toLowerCase();
  const nodes = sample.nodes.filter(({ name }) => name.toLowerCase().includes(filter));
  const containers = nodes.flatMap((node) =>
    node.containers.map((container) => containerLine(node.name, container, nowMs, width)),
  );
  const blocks = [
    blockOf(chartLines(state, sample, width, height >= manyRowsFrom ? chartRows.many : chartRows.few)),
    blockOf([[], line(" Nodes", "accentStrong"), ...nodeLines(nodes, width, true)]),
    blockOf(donutLines(capacity(sample), widgets, width)),
    blockOf(table(`Containers  ${containers.length}`, containers, "none")),
    blockOf(table("Images", imageLines(sample, width), "none yet")),
  ];
  return { title, ...windowOf(blocks, state.scroll.fleetView, height) };
}
