// ⑦ What the gateway says of the pool: /metrics in Prometheus' text format, and /healthz.

import type { Calls } from "../calls.ts";
import type { Clients } from "../clients.ts";
import type { Maps } from "../maps/maps.ts";
import type { Nodes } from "../nodes.ts";
import type { Turn } from "../turn.ts";

/** Upper bounds of the buckets, in seconds: from a warm call to one that waits for a container. */
const bounds = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Apps and functions that come and go: their figures are kept for so many. */
const mostSeries = 2_000;

interface Series {
  app: string;
  function: string;
  kind: "call" | "request";
  outcomes: Map<string, number>;
  buckets: number[];
  count: number;
  seconds: number;
}

export interface Metrics {
  /** `outcome`: a state of a call, or a status of HTTP. */
  count(what: { kind: Series["kind"]; app: string; function: string; outcome: string; ms: number }): void;
  text(): string;
  /** Why control cannot do its work, if it cannot. */
  trouble(): string | undefined;
}

interface MetricsParts {
  calls: Pick<Calls, "queued" | "running">;
  maps: Pick<Maps, "running">;
  nodes: Pick<Nodes, "all">;
  clients: Clients;
  turn: Pick<Turn, "stuck">;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

function labels(pairs: Record<string, string>): string {
  const list = Object.entries(pairs).map(([name, value]) => `${name}="${escaped(value)}"`);
  return list.length > 0 ? `{${list.join(",")}}` : "";
}

/** One metric with its samples: exposition format 0.0.4. */
function metric(name: string, type: "counter" | "gauge" | "histogram", help: string, samples: readonly string[]): string {
  return samples.length === 0 ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.join("\n")}\n`;
}

export function createMetrics({ calls, maps, nodes, clients, turn }: MetricsParts): Metrics {
  const all = new Map<string, Series>();

  function seriesOf(kind: Series["kind"], app: string, name: string): Series {
    const key = `${kind}\n${app}\n${name}`;
    const known = all.get(key);
    if (known) return known;
    const made = { kind, app, function: name, outcomes: new Map(), buckets: bounds.map(() => 0), count: 0, seconds: 0 };
    if (all.size >= mostSeries) all.delete(all.keys().next().value!);
    all.set(key, made);
    return made;
  }

  function containers(): string[] {
    const counts = new Map<string, number>();
    for (const node of nodes.all.values()) {
      for (const { state, app } of node.containers.values()) {
        const key = labels({ node: node.name, state, app });
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    return [...counts].map(([key, count]) => `hob_containers${key} ${count}`);
  }

  function counted(kind: Series["kind"], outcome: string): string[] {
    const name = `hob_${kind}s_total`;
    return [...all.values()]
      .filter((series) => series.kind === kind)
      .flatMap(({ app, function: fn, outcomes }) =>
        [...outcomes].map(([value, count]) => `${name}${labels({ app, function: fn, [outcome]: value })} ${count}`),
      );
  }

  function durations(kind: Series["kind"]): string[] {
    const name = `hob_${kind}_duration_seconds`;
    return [...all.values()]
      .filter((series) => series.kind === kind)
      .flatMap(({ app, function: fn, buckets, count, seconds }) => {
        const of = { app, function: fn };
        const lines = bounds.map((bound, at) => `${name}_bucket${labels({ ...of, le: String(bound) })} ${buckets[at]}`);
        lines.push(`${name}_bucket${labels({ ...of, le: "+Inf" })} ${count}`);
        return [...lines, `${name}_sum${labels(of)} ${seconds.toFixed(6)}`, `${name}_count${labels(of)} ${count}`];
      });
  }

  return {
    count({ kind, app, function: name, outcome, ms }) {
      const series = seriesOf(kind, app, name);
      series.outcomes.set(outcome, (series.outcomes.get(outcome) ?? 0) + 1);
      const seconds = ms / 1000;
      series.count++;
      series.seconds += seconds;
      for (const [at, bound] of bounds.entries()) if (seconds <= bound) series.buckets[at]!++;
    },
    text() {
      return [
        metric("hob_up", "gauge", "Whether control can record and place calls.", [`hob_up ${turn.stuck ? 0 : 1}`]),
        metric("hob_calls_queued", "gauge", "Calls that wait for a container.", [`hob_calls_queued ${calls.queued}`]),
        metric("hob_calls_running", "gauge", "Calls that run.", [`hob_calls_running ${calls.running}`]),
        metric("hob_maps_running", "gauge", "Maps that run.", [`hob_maps_running ${maps.running.size}`]),
        metric("hob_nodes", "gauge", "Nodes that are linked.", [`hob_nodes ${nodes.all.size}`]),
        metric("hob_clients", "gauge", "Clients that are connected.", [`hob_clients ${clients.count}`]),
        metric("hob_containers", "gauge", "Containers, by node, state and app.", containers()),
        metric("hob_calls_total", "counter", "Calls that have ended, by state.", counted("call", "state")),
        metric("hob_call_duration_seconds", "histogram", "From a call's acceptance to its outcome.", durations("call")),
        metric("hob_requests_total", "counter", "HTTP requests that were answered, by status.", counted("request", "status")),
        metric("hob_request_duration_seconds", "histogram", "From a request's body to its answer.", durations("request")),
      ].join("");
    },
    trouble() {
      if (turn.stuck) return `nothing can be recorded: ${turn.stuck.sentence}`;
      return nodes.all.size === 0 ? "no node is linked: calls wait" : undefined;
    },
  };
}
