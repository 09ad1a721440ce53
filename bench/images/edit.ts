// An edit to the last step of an image in code: from the save to the result of a call in a container of the new image, beyond what the step's own
// command takes.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../../test/drive/dev-process.ts";
import { makeRow, quantile, type Row } from "../report.ts";

const edits = 5;
/** What the command takes by itself. */
const stepMs = 1000;

const source = (edit: number): string => `import hob

app = hob.App("edited")
image = hob.Image.host().run("mkdir -p /opt/made").run("sleep ${stepMs / 1000}; echo ${edit} > /opt/made/edit")

@app.function(image=image)
def look():
    return int(open("/opt/made/edit").read())
`;

export async function editedSteps({ say }: { say(text: string): void }): Promise<Row[]> {
  if (process.getuid?.() !== 0) {
    say("images: an edit to the last step is left out: building needs root");
    return [];
  }
  const work = mkdtempSync(join(tmpdir(), "hob-bench-"));
  try {
    const project = join(work, "project");
    mkdirSync(project);
    const save = (edit: number): void => writeFileSync(join(project, "app.py"), source(edit));
    save(0);
    const environment = {
      XDG_STATE_HOME: join(work, "state"),
      XDG_CACHE_HOME: join(work, "cache"),
      XDG_CONFIG_HOME: join(work, "config"),
      HOB_LINGER_MS: "3000",
    };
    await using dev = startDev(project, ["--pin", "look", "--args", "[]"], environment);
    const answered = (edit: number) =>
      dev.next(`the call in image ${edit}`, ({ event, value }) => event === "call" && value === edit);
    await answered(0);
    say(`images: ${edits} edits to a last step that takes ${stepMs} ms`);
    const beyond: number[] = [];
    for (let edit = 1; edit <= edits; edit++) {
      const savedAt = performance.now();
      save(edit);
      const { atMs } = await answered(edit);
      beyond.push(atMs - savedAt - stepMs);
      say(`  ${(atMs - savedAt).toFixed(0)} ms`);
    }
    const base = { bench: "images", row: "edit-last-step", unit: "ms" as const };
    return [
      makeRow({ ...base, stat: "p50", value: quantile(beyond, 0.5) }, { atMost: 1000 }),
      makeRow({ ...base, stat: "p99", value: quantile(beyond, 0.99) }),
    ];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
