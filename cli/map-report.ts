// ⑧ What `hob map` says while it runs: a bar on a terminal, a line every few seconds without one, JSON lines with --json.

import type { MapInfo } from "../proto/gen/hob/v1/maps.ts";
import { barLine, plainLine, progressOf } from "./map-progress.ts";
import { printJson } from "./output.ts";

const plainEveryMs = 5_000;

export interface MapReport {
  opened(info: MapInfo): void;
  progress(info: MapInfo): void;
  /** Text of others, above the bar. */
  write(text: string): void;
  finished(info: MapInfo): void;
}

type Style = "json" | "bar" | "plain";

/** `total` is the number of inputs, once they have all been read. */
export function createMapReport(json: boolean, resume: (id: string) => string, total: () => number | undefined): MapReport {
  const style: Style = json ? "json" : process.stderr.isTTY ? "bar" : "plain";
  let drawn = false;
  let saidAtMs = performance.now();

  function clear(): void {
    if (drawn) process.stderr.write("\r\u001b[K");
    drawn = false;
  }

  const say = (text: string): void => {
    clear();
    process.stderr.write(text);
  };

  function draw(info: MapInfo): void {
    clear();
    process.stderr.write(barLine(progressOf(info, total()), process.stderr.columns || 80));
    drawn = true;
  }

  return {
    opened(info) {
      if (style === "json") printJson({ event: "opened", ...objectOf(info) });
      else
        say(`hob: map #${info.number} ${info.id}: ctrl-c cancels it; should this command die, go on with ${resume(info.id)}\n`);
    },
    progress(info) {
      if (style === "json") printJson({ event: "progress", ...objectOf(info), rate: info.rate });
      else if (style === "bar") draw(info);
      else if (performance.now() - saidAtMs >= plainEveryMs) {
        saidAtMs = performance.now();
        say(`${plainLine(info.number, progressOf(info, total()))}\n`);
      }
    },
    write: say,
    finished(info) {
      const seconds = Math.max(0.001, (info.finishedAtMs - info.startedAtMs) / 1000);
      const done = info.succeeded + info.failed;
      if (style === "json") return printJson({ event: "finished", ...objectOf(info), seconds });
      if (style === "bar") draw({ ...info, rate: done / seconds });
      if (style === "bar") process.stderr.write("\n");
      drawn = false;
      const failed = info.failed > 0 ? `, ${info.failed} failed` : "";
      say(
        `hob: map #${info.number} ${info.state}: ${info.succeeded} done${failed}, ${seconds.toFixed(1)} s, ${Math.round(done / seconds)}/s\n`,
      );
    },
  };
}

/** Stable names: docs/maps.md. */
function objectOf({ id, number, app, function: name, state, inputs, closed, succeeded, failed, failure }: MapInfo) {
  const said = failure ? { error: { kind: failure.kind, type: failure.type, message: failure.message } } : {};
  return { map: id, number, app, function: name, state, inputs, closed, succeeded, failed, ...said };
}
