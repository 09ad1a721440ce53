// ⑧ `hob images show` and `ls`: what control and the nodes have of images, for people and for programs.

import type { ImageInfo } from "../../proto/gen/hob/v1/fleet.ts";
import type { ImageDetails, ImageRecord } from "../../proto/gen/hob/v1/images.ts";
import { hostImageKey, imageLabel, stepLabel } from "../../proto/image.ts";
import { formatBytes } from "../format/bytes.ts";
import type { Column } from "../format/table.ts";
import { formatMoment } from "../format/time.ts";
import { printJson, printLine, printTable } from "../output.ts";

const columns: Column[] = [
  { title: "IMAGE" },
  { title: "DIGEST" },
  { title: "STATE" },
  { title: "STEPS", align: "right" },
  { title: "FILES", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "STORED", align: "right" },
  { title: "BUILT" },
  { title: "NODE" },
];

const labelOf = ({ definition }: ImageRecord): string => (definition ? imageLabel(definition) : "");
/** What `hob images show` takes: an image that has not been built has no digest. */
const nameOf = ({ digest, key }: ImageRecord): string => digest || key.replace(/^spec:/, "");

function recordObject(record: ImageRecord): object {
  const { key, digest, state, files, bytes, storedBytes, builtAtMs, node, apps, definition, failure } = record;
  const steps = definition?.steps.map(stepLabel) ?? [];
  return {
    ...{ image: labelOf(record), key, digest: digest || null, state, steps, files, bytes, storedBytes, builtAtMs, node, apps },
    ...(failure && { failure: { kind: failure.kind, message: failure.message } }),
  };
}

export function printRecords(records: ImageRecord[], json: boolean): void {
  if (json) for (const record of records) printJson({ kind: "image", ...recordObject(record) });
  else if (records.length === 0) printLine("No images yet: the first function that needs one has it made.");
  else printRecordTable(records);
}

const percent = (part: number, whole: number): string => `${whole > 0 ? Math.round((100 * part) / whole) : 100} %`;

function printRecordTable(records: ImageRecord[]): void {
  const nowMs = Date.now();
  printTable(
    columns,
    records.map((record) => [
      labelOf(record),
      nameOf(record).slice(0, 12),
      record.state,
      String(record.definition?.steps.length ?? 0),
      String(record.files),
      formatBytes(record.bytes),
      formatBytes(record.storedBytes),
      formatMoment(record.builtAtMs, nowMs),
      record.node,
    ]),
  );
}

/** From its mount until the first response in it. */
const firstStartOf = ({ firstReadBlobs, firstReadBytes, firstReadHits, firstFetchedBytes }: ImageInfo) => ({
  ...{ blobs: firstReadBlobs, bytes: firstReadBytes, fetchedBytes: firstFetchedBytes },
  hitRate: firstReadHits / firstReadBlobs,
});

export function printDetails(details: ImageDetails, onNodes: ImageInfo[], json: boolean): void {
  const { record, steps, blobs, blobBytes, sharedBytes, sharedWith } = details;
  if (!record) return;
  const doing = (index: number): string => {
    const step = record.definition?.steps[index - 1];
    return step ? stepLabel(step) : `base ${labelOf(record)}`;
  };
  const built = steps.map(({ digest, ms }, index) => ({ step: index, doing: doing(index), digest: digest || null, ms }));
  const local = onNodes.map((info) => {
    const { node, localBytes, storedBytes, view } = info;
    return { node, localBytes, storedBytes, view, firstStart: info.firstReadBlobs > 0 ? firstStartOf(info) : null };
  });
  if (json) {
    printJson({
      ...{ kind: "image", ...recordObject(record), steps: built, blobs, blobBytes, sharedBytes, sharedWith, nodes: local },
      ...{
        log: record.log.map(({ step, text }) => ({ step, text })),
        linesDropped: record.linesDropped,
      },
    });
    return;
  }
  const fact = (name: string, value: string): void => printLine(`${name.padEnd(12)} ${value}`);
  fact("image", labelOf(record));
  fact("digest", record.digest || `none yet (key ${record.key})`);
  fact("state", record.state);
  fact("built", `${formatMoment(record.builtAtMs, Date.now())}${record.node ? ` on ${record.node}` : ""}`);
  fact("files", `${record.files}, ${formatBytes(record.bytes)}; stored once ${formatBytes(record.storedBytes)}`);
  if (blobs > 0) {
    const others = sharedWith.length > 0 ? `, of which ${formatBytes(sharedBytes)} are in other images too` : "";
    fact("blobs", `${blobs}, ${formatBytes(blobBytes)} in control's store${others}`);
  }
  for (const { node, localBytes, storedBytes, view, firstStart } of local) {
    fact(
      "local",
      `${percent(localBytes, storedBytes)} on ${node} (${formatBytes(localBytes)} of ${formatBytes(storedBytes)}), ${view}`,
    );
    if (!firstStart) continue;
    const { blobs: read, bytes, fetchedBytes, hitRate } = firstStart;
    const hits = `${Math.round(100 * hitRate)} % of them there before they were asked for`;
    fact(
      "first start",
      `read ${read} blobs, ${formatBytes(bytes)}, ${hits}; ${formatBytes(fetchedBytes)} fetched until the first response`,
    );
  }
  if (record.apps.length > 0) fact("apps", record.apps.join(", "));
  if (record.key !== hostImageKey && built.length > 0) {
    printTable(
      [{ title: "STEP", align: "right" }, { title: "DOING" }, { title: "TOOK", align: "right" }, { title: "DIGEST" }],
      built.map(({ step, doing: text, digest, ms }) => [
        String(step),
        text,
        digest ? `${(ms / 1000).toFixed(1)} s` : "–",
        digest?.slice(0, 12) ?? "–",
      ]),
    );
  }
  if (record.failure) printLine(`\nThe last build failed: ${record.failure.message}`);
  if (record.log.length === 0) return;
  printLine(`\nThe last build's log${record.linesDropped > 0 ? ` (${record.linesDropped} earlier lines are not kept)` : ""}:`);
  for (const { step, text } of record.log) printLine(`  ${step}  ${text}`);
}
