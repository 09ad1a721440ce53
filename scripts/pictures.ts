// `npm run pictures`: every view of the screen as SVG, from the recorded session that comes with hob, at two sizes, light, dark and as on a console, in dist/pictures;
// those that the documents show in docs/pictures, and the documents' table of keys.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installRoot } from "../base/install.ts";
import { initialState, type State } from "../tui/model/state.ts";
import { update } from "../tui/model/update.ts";
import type { RecordedEvent, RecordingHeader } from "../tui/recording/format.ts";
import { openRecording } from "../tui/recording/player.ts";
import { drawLines } from "../tui/screen/frame.ts";
import { withKeys } from "./pictures/keys.ts";
import { svgOf, themes } from "./pictures/svg.ts";

interface Scene {
  name: string;
  /** The recording up to the first event that this is true of, and `laterMs` more. */
  when(event: RecordedEvent["event"]): boolean;
  laterMs: number;
  keys: string;
}

const answered =
  (name: string, outcome: string) =>
  (event: RecordedEvent["event"]): boolean =>
    event.kind === "call" && event.call.function === name && event.call.state === outcome;

const saved = (event: RecordedEvent["event"]): boolean =>
  event.kind === "call" && event.call.number === 4 && event.saveToResultMs !== undefined;

/** The second look at the deployments: something has changed since. */
const changedAfterDeploying = (event: RecordedEvent["event"]): boolean =>
  event.kind === "operations" && "apps" in event.told && event.told.apps.some(({ live, changed }) => live && changed > 0);

const scenes: readonly Scene[] = [
  { name: "main", when: answered("index", "succeeded"), laterMs: 900, keys: "g" },
  { name: "save", when: saved, laterMs: 300, keys: "" },
  { name: "failure", when: answered("embed", "failed"), laterMs: 300, keys: "" },
  { name: "syntax-error", when: (event) => event.kind === "diagnostics" && event.diagnostics.length > 0, laterMs: 500, keys: "" },
  { name: "run", when: saved, laterMs: 300, keys: "2 enter" },
  { name: "traceback", when: answered("embed", "failed"), laterMs: 300, keys: "2 enter" },
  { name: "editor", when: saved, laterMs: 300, keys: 'R ctrl-u ctrl-k tab " d o g . p n g " , tab' },
  { name: "logs", when: answered("crawl", "succeeded"), laterMs: 300, keys: "l" },
  { name: "palette", when: answered("crawl", "succeeded"), laterMs: 300, keys: ": l o" },
  { name: "fleet", when: answered("crawl", "succeeded"), laterMs: 3_000, keys: "F z z z z" },
  { name: "images", when: answered("crawl", "succeeded"), laterMs: 300, keys: "I" },
  { name: "deployments", when: changedAfterDeploying, laterMs: 2_000, keys: "" },
  { name: "variables", when: (event) => event.kind === "inspected", laterMs: 800, keys: "2 enter G" },
  { name: "compare", when: answered("thumbnail", "succeeded"), laterMs: 300, keys: "k =" },
  { name: "help", when: saved, laterMs: 300, keys: "?" },
  { name: "filter", when: answered("thumbnail", "succeeded"), laterMs: 300, keys: "3 / e m b" },
];

const sizes = [
  { columns: 120, rows: 36 },
  { columns: 180, rows: 50 },
] as const;

type Session = { header: RecordingHeader; events: RecordedEvent[] };

/** The state at that moment of the session, on a screen of that size, after those keys. */
function stateAt(
  { header, events }: Session,
  { when, laterMs, keys }: Scene,
  size: { columns: number; rows: number },
): { state: State; nowMs: number } {
  const from = events.find(({ event }) => when(event));
  if (!from) throw new Error("the recorded session has no such moment");
  const untilMs = from.atMs + laterMs;
  const nowMs = header.startedAtMs + untilMs;
  let state = initialState({ pool: header.pool, build: header.build, ...size, nowMs: header.startedAtMs });
  const take = (event: Parameters<typeof update>[1]): void => {
    state = update(state, event).state;
    state = update(state, { kind: "drawn", viewports: drawLines(state, { widgets: undefined, nowMs }).viewports }).state;
  };
  for (const { atMs, event } of events) if (atMs <= untilMs && event.kind !== "resize") take(event);
  for (const key of keys.split(" ").filter((name) => name !== "")) take({ kind: "key", key, nowMs });
  return { state, nowMs };
}

process.env["TZ"] = "UTC";
const folder = join(installRoot, "dist/pictures");
const documents = join(installRoot, "docs/pictures");
rmSync(folder, { recursive: true, force: true });
for (const each of [folder, documents]) mkdirSync(each, { recursive: true });

// The README shows the main view as its reader's theme is; the other documents are dark.
const inDocuments = (name: string, theme: string): boolean =>
  theme === "dark"
    ? !["save", "traceback", "variables", "syntax-error", "help", "filter"].includes(name)
    : theme === "light" && name === "main";

const { header, events } = await openRecording(join(installRoot, "examples/demo.jsonl"));
const session: Session = { header, events: [] as RecordedEvent[] };
for await (const event of events) session.events.push(event);
const { createWidgets } = await import("../tui/charts/contrib.ts");
const widgets = createWidgets();
for (const scene of scenes) {
  for (const size of sizes) {
    const { state, nowMs } = stateAt(session, scene, size);
    const { lines } = drawLines(state, { widgets, nowMs });
    for (const [theme, look] of Object.entries(themes)) {
      const svg = svgOf(lines, size.columns, { title: `hob: ${scene.name}`, theme: look });
      writeFileSync(join(folder, `${scene.name}-${size.columns}x${size.rows}-${theme}.svg`), svg);
      if (size === sizes[0] && inDocuments(scene.name, theme)) writeFileSync(join(documents, `${scene.name}-${theme}.svg`), svg);
    }
  }
}
const workbench = join(installRoot, "docs/workbench.md");
writeFileSync(workbench, withKeys(readFileSync(workbench, "utf8")));
process.stdout.write(`${folder}: ${scenes.length} views at ${sizes.length} sizes, light, dark and console\n`);
process.exit(0);
