// ⑧ Images: those of the nodes with their sizes, and of each build its state and its log, which stays readable after a failure.

import type { FleetSample, ImageInfo } from "../../../proto/gen/hob/v1/fleet.ts";
import { stepLabel } from "../../../proto/image.ts";
import type { BuildRecord } from "../../model/builds.ts";
import { cut, pad } from "../../text.ts";
import { count, short, size, sizeOf } from "../../units.ts";
import { buildLines } from "../builds.ts";
import { donutLines, type Share } from "../donuts.ts";
import { type Line, line, span } from "../line.ts";
import { blockOf } from "../output.ts";
import { type DrawContext, type Drawn, windowOf } from "../section.ts";

const narrow = 100;
const longestName = 15;

/** Where room is short the number of files and how it is shown go. */
export function imageLines(sample: FleetSample | undefined, width: number): Line[] {
  return (sample?.nodes ?? []).flatMap((node) =>
    node.images.map((image) => [
      span(`   ${pad(image.source, 16)} `, "strong"),
      span(
        `${short(image.digest)}  ${width < narrow ? "" : `${pad(`${count(image.files)} files`, 14, "right")}  `}${pad(size(image.bytes), 9, "right")}`,
      ),
      span(`  local ${sizeOf(image.localBytes, image.storedBytes)}`),
      span(image.sharedBytes > 0 ? `  ${size(image.sharedBytes)} shared` : "", "dim"),
      span(`  ${width < narrow ? "" : `${image.view}  `}${node.name}`, "dim"),
      span(firstStart(image), "dim"),
    ]),
  );
}

/** How much of the first images other images have too, where any have something in common; each once, however many nodes have it. */
function sharing(sample: FleetSample | undefined): Share[] {
  const images = new Map((sample?.nodes ?? []).flatMap((node) => node.images.map((image) => [image.digest, image])));
  const shares = [...images.values()].map(({ source, digest, sharedBytes, storedBytes }) => ({
    label: `${cut(source, longestName)} ${short(digest)}`,
    part: sharedBytes,
    whole: storedBytes,
  }));
  return shares.some(({ part }) => part > 0) ? shares : [];
}

/** What was read until the first response of a call in it, once that is known. */
function firstStart({ firstReadBlobs, firstReadBytes, firstReadHits }: ImageInfo): string {
  if (firstReadBlobs === 0) return "";
  const hits = Math.round((100 * firstReadHits) / firstReadBlobs);
  return `  first read ${count(firstReadBlobs)} blobs, ${size(firstReadBytes)}, ${hits} % hits`;
}

/** Its log, with a heading where each step begins. */
function logLines({ build, lines }: BuildRecord): Line[] {
  let at = -1;
  return lines.flatMap(({ step, text }) => {
    const doing = build.image?.steps[step - 1];
    const heading = step === at ? [] : [line(`   ${step}  ${doing ? stepLabel(doing) : "base"}`, "strong")];
    at = step;
    return [...heading, line(`      ${text}`, "dim")];
  });
}

function recordLines(record: BuildRecord, width: number): Line[] {
  const { build } = record;
  const state = build.state === "ready" ? [line(` ✓ ${short(build.digest)} is ready`, "good")] : buildLines([record], width);
  return [...state, ...logLines(record), []];
}

export function drawImagesView({ state, width, height, widgets }: DrawContext): Drawn {
  const images = imageLines(state.fleet.latest, width);
  const shared = donutLines(sharing(state.fleet.latest), widgets, width);
  const blocks = [
    blockOf([line(" On the nodes", "accentStrong"), ...(images.length > 0 ? images : [line("   none yet", "dim")]), []]),
    blockOf(shared.length > 0 ? [line(" In other images too", "accentStrong"), ...shared, []] : []),
    blockOf([line(" Builds", "accentStrong"), ...(state.builds.length > 0 ? [] : [line("   none yet", "dim")])]),
    ...state.builds.map((record) => blockOf(recordLines(record, width))),
  ];
  return { title: line("Images"), ...windowOf(blocks, state.scroll.imagesView, height) };
}
