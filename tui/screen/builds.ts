// ⑧ How builds of images go: image, step, last line and a bar; after a failure what went wrong, its last lines, and what to try.

import { buildPlace, imageLabel } from "../../proto/image.ts";
import { bar } from "../charts/bars.ts";
import type { BuildRecord } from "../model/builds.ts";
import { clean } from "../text.ts";
import { fitting, type Line, line, span, wrapped } from "./line.ts";

const mostBarColumns = 24;
const failedLines = 6;

const labelOf = ({ build }: BuildRecord): string => (build.image ? imageLabel(build.image) : build.key);

export function buildLines(records: readonly BuildRecord[], width: number): Line[] {
  return records.flatMap((record) => (record.build.state === "failed" ? failureOf(record, width) : progressOf(record, width)));
}

/** A line for each. */
export function briefBuildLines(records: readonly BuildRecord[], width: number): Line[] {
  return records.flatMap((record) => buildLines([record], width).slice(0, 1));
}

function progressOf(record: BuildRecord, width: number): Line[] {
  const { build, lines } = record;
  const { image, step, state } = build;
  const label = ` image ${labelOf(record)}`;
  if (state === "waiting") return [[span(label), span("  waits for a node, or for a step that another build runs", "dim")]];
  const place = `  ${buildPlace(image, step)}  `;
  const steps = image?.steps.length ?? 0;
  const room = Math.min(mostBarColumns, width - label.length - place.length - 1);
  const share = steps === 0 ? 0 : (step - 0.5) / steps;
  const head: Line = [span(label), span(place, "dim"), ...(room >= 4 && steps > 0 ? bar(share, room, "accent") : [])];
  const last = lines.at(-1);
  return last ? [head, [span(`   ${clean(last.text)}`, "dim")]] : [head];
}

function failureOf(record: BuildRecord, width: number): Line[] {
  const { build, lines } = record;
  const message = build.failure?.message ?? "";
  const tail = lines.filter(({ step }) => step === build.step).slice(-failedLines);
  return [
    [
      span(" ✗ ", "bad"),
      ...fitting([line(`image ${labelOf(record)} failed at ${buildPlace(build.image, build.step)}`, "bad")], width - 3),
    ],
    ...wrapped(clean(message), width - 3, "strong").map((spans) => [span("   "), ...spans]),
    ...tail.map(({ text }): Line => [span(`   ${clean(text)}`, "dim")]),
    [span("   I", "accentStrong"), span(" shows its log; an edit of it, or `hob images build`, tries again", "dim")],
  ];
}
