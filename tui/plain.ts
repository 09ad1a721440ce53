// ⑧ The workbench without a screen: one calm line for each thing that happens.

import type { Receipt, Workbench } from "../project/events.ts";
import type { CallInfo } from "../proto/gen/hob/v1/calls.ts";
import { buildPlace, imageLabel } from "../proto/image.ts";
import { runMs } from "./model/calls.ts";
import { parsedJson } from "./model/state.ts";
import { type News, type PrintOptions, printNews } from "./news.ts";
import { failureSentence } from "./screen/failure.ts";
import { callText, inline } from "./screen/value.ts";
import { clean } from "./text.ts";
import { count, counted, duration, short, size, timeOfDay } from "./units.ts";

const longestValue = 200;

/** Prints until the workbench's events end. */
export async function runPlain(workbench: Workbench, options: PrintOptions): Promise<void> {
  await printNews(workbench, options, (item) => plainLines(item, options.nowMs()));
}

export function plainLines(item: News, nowMs: number): string[] {
  return contentOf(item).map((text) => `${timeOfDay(nowMs)}  ${clean(text)}`);
}

const noticeMarks = { info: "·", warning: "!", error: "✗" } as const;

function contentOf(item: News): string[] {
  switch (item.kind) {
    case "ready":
      return [readyLine(item), ...item.urls.map((url) => `  ${url}`)];
    case "reload":
      return [reloadLine(item.receipt)];
    case "finished":
      return [finishedLine(item.call, item.saveToResultMs)];
    case "link": {
      const detail = item.detail === "" ? "" : `: ${item.detail}`;
      return [{ live: "● connected", connecting: "◌ connecting", lost: "✗ the pool is gone" }[item.state] + detail];
    }
    case "diagnostics":
      return item.diagnostics.map(({ file, line, column, message }) => {
        const where = [file, line, column].filter((part) => part !== 0).join(":");
        return `✗ ${where}  ${message}; the versions before keep serving`;
      });
    case "logs":
      return item.lines.map(({ function: name, stream, text }) => `  ${name} ${stream === "stdout" ? "|" : "!"} ${text}`);
    case "map": {
      const { number, function: name, state, succeeded, failed, startedAtMs, finishedAtMs } = item.map;
      const mark = state !== "succeeded" || failed > 0 ? "✗" : "✓";
      const amount = `${count(succeeded)} done${failed > 0 ? `, ${count(failed)} failed` : ""}`;
      return [`${mark} map #${number} ${name}: ${state}, ${amount}  ${duration(finishedAtMs - startedAtMs)}`];
    }
    case "progress": {
      if (item.phase === "failed") return [`✗ ${item.what}: ${item.message}`];
      const amount = item.total > 0 ? `  ${count(item.done)} / ${count(item.total)} ${item.unit}` : "";
      return [`◌ ${item.what}: ${item.phase}${amount}`];
    }
    case "image":
      return buildLinesOf(item);
    case "notice":
      return [`${noticeMarks[item.level]} ${item.text}`];
    case "paused":
      return [item.paused ? "‖ paused: saves are noticed and not shipped" : "● saves are shipped again"];
    default:
      return item satisfies never;
  }
}

function buildLinesOf({ build, fresh }: Extract<News, { kind: "image" }>): string[] {
  const { image, state, step, lines, failure, digest } = build;
  const what = `image ${image ? imageLabel(image) : build.key}`;
  const said = lines.map(({ text }) => `  image | ${text}`);
  if (state === "failed") return [...said, `✗ ${what}: ${failure?.message ?? "it failed"}`];
  if (!fresh) return said;
  if (state === "ready") return [...said, `✓ ${what} is ready: ${short(digest)}`];
  return [`◌ ${what}: ${state === "waiting" ? "waiting" : buildPlace(image, step)}`, ...said];
}

function readyLine({ apps, functions, ms }: Extract<News, { kind: "ready" }>): string {
  const names = functions.length === 0 ? "" : ` ${functions.join(", ")}`;
  return `● ready in ${duration(ms)}: ${apps.join(", ") || "no app yet"}, ${counted(functions.length, "function")}${names}`;
}

function reloadLine({ files, changes, removed, ms, bytesShipped, failure, nothing }: Receipt): string {
  const source = files.length === 0 ? "the project" : files.join(", ");
  if (nothing !== undefined) return `· ${source}: nothing to reload: ${nothing}`;
  const changed = changes.map(({ function: name, reason, tier }) => `${name} (${reason}, ${tier})`);
  const effects = [...changed, ...removed.map((name) => `${name} removed`)].join(", ");
  if (failure) return `✗ ${source} → ${effects}: ${failureSentence(failure)}; the versions before keep serving`;
  const total = ms.total === undefined ? "" : `  ${duration(ms.total)}`;
  return `✓ ${source} → ${effects}${total}  ${size(bytesShipped)} shipped`;
}

function finishedLine(call: CallInfo, saveToResultMs: number | undefined): string {
  const name = callText(call.function, call.arguments, 80);
  const ran = runMs(call);
  const outcome = call.failure
    ? `: ${failureSentence(call.failure)}`
    : ` → ${call.result?.large ? size(call.result.large.bytes) : inline(parsedJson(call.result?.json), longestValue)}`;
  const parts = [
    `${call.failure ? "✗" : "✓"} #${call.number} ${name}${outcome}`,
    ran === undefined ? "" : duration(ran),
    saveToResultMs === undefined ? "" : `save→result ${duration(saveToResultMs)}`,
    call.container === "" ? "" : `${call.node} ${short(call.container, 4)}`,
    `code ${short(call.version)}`,
  ];
  return parts.filter((part) => part !== "").join("  ");
}
