// ⑧ The top line: which app, how the pool is, how fast the last save was, whether the link is live.

import { countContainers } from "../../model/fleet.ts";
import type { ReplayState } from "../../model/replay.ts";
import type { State } from "../../model/state.ts";
import { counted, duration } from "../../units.ts";
import { fitting, type Line, span, spread, widthOf } from "../line.ts";

function replaySpans({ startedAtMs, speed, state }: ReplayState, nowMs: number): Line {
  const at = duration(Math.floor((nowMs - startedAtMs) / 1000) * 1000);
  if (state === "over") return [span("■ end of the recording", "accent")];
  const pace = speed === 1 ? "" : speed > 1 ? ` ×${speed}` : ` ×1/${1 / speed}`;
  return state === "paused" ? [span(`‖ replay ${at}`, "warn")] : [span(`▸ replay ${at}${pace}`, "accent")];
}

function linkSpans({ link, replay }: State, nowMs: number): Line {
  if (replay) return replaySpans(replay, nowMs);
  switch (link.state) {
    case "live":
      return [span("● live", "good")];
    case "connecting":
      return [span("◌ connecting", "accent")];
    case "lost":
      return [span(`✗ lost for ${duration(Math.max(1000, Math.floor((nowMs - link.sinceMs) / 1000) * 1000))}`, "bad")];
    default:
      return link.state satisfies never;
  }
}

/** Longest first. */
function poolVariants({ fleet, pool }: State): Line[] {
  const name = span(`pool ${pool}`, "dim");
  const sample = fleet.latest;
  if (!sample) return [[name], []];
  const { warm, busy, starting } = countContainers(sample);
  const nodes = span(` · ${counted(sample.nodes.filter(({ state }) => state !== "lost").length, "node")} · `, "dim");
  const containers = [
    span(`${warm} warm · `, "dim"),
    span(`${busy} busy`, busy > 0 ? "accent" : "dim"),
    span(` · ${starting} starting`, "dim"),
  ];
  return [[name, nodes, ...containers], containers, []];
}

export function headerLine(state: State, nowMs: number, width: number): Line {
  const apps = state.project?.apps.join(", ") ?? "";
  const name: Line = [span(" hob", "accentStrong"), span(apps === "" ? "  dev" : `  ${apps} · dev`)];
  const link: Line = [...linkSpans(state, nowMs), span(" ")];
  const speed: Line =
    state.saveToResultMs === undefined
      ? []
      : [span("save→result ", "dim"), span(duration(state.saveToResultMs), "strong"), span("   ")];
  const paused: Line = state.paused ? [span("‖ paused   ", "warn")] : [];

  const right = fitting(
    [
      [...paused, ...speed, ...link],
      [...paused, ...link],
    ],
    Math.floor(width * 0.6),
  );
  const room = width - widthOf(name) - widthOf(right) - 4;
  const pool = fitting(poolVariants(state), room);
  const gap = Math.max(2, Math.floor((room - widthOf(pool)) / 2) + 2);
  return spread([...name, span(" ".repeat(gap)), ...pool], right, width);
}
