// ⑤ What the kernel does with reads inside a real container: for a blob that is in the store they never reach the FUSE daemon.

import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { createContainer } from "../../agent/container/container.ts";
import { rootUser } from "../../agent/container/spec.ts";
import { runnerCommand } from "../../agent/runner/command.ts";
import { connectRunner } from "../../agent/runner/connect.ts";
import { systemClock } from "../../base/clock.ts";
import { sha256 } from "../../base/content-folder.ts";
import { silentLog } from "../../base/log.ts";
import { probeTiered } from "../../fusefs/erofs/probe.ts";
import { probeFuse } from "../../fusefs/probe.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { layFoundation } from "./foundation.ts";

const probe = await probeFuse();
if (!probe.passthrough) process.stderr.write(`skipped: ${probe.reason}\n`);
const obstacle = probeTiered(tmpdir());
if (obstacle !== "") process.stderr.write(`skipped: tiered images: ${obstacle}\n`);
const views = obstacle === "" ? (["tree", "tiered"] as const) : (["tree"] as const);

const source = `import hashlib, pathlib, sysconfig

def sweep():
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in folder.glob("*.py") if path.is_file())
    total = sum(len(path.read_bytes()) for path in files)
    return [len(files), total, hashlib.sha256(pathlib.Path("data.bin").read_bytes()).hexdigest()]
`;

describe.skipIf(!rootWithContainers() || !probe.passthrough)("a container's reads", () => {
  it.each(views)("of image and project files that are in the store cause no READ request at all (%s)", async (view) => {
    await using undo = new AsyncDisposableStack();
    const { folders, store, fuse, image, imageMount, slots, contents } = await layFoundation("passthru", view, undo);

    const container = await createContainer(
      {
        key: "passthru",
        folders,
        slots,
        nameFile: "",
        contents,
        fuse,
        connect: connectRunner,
        forerunner: () => undefined,
        gpus: { acquire: () => Promise.resolve((config) => config), release() {} },
        clock: systemClock,
        log: silentLog,
      },
      {
        id: "0badcafe",
        image: image.digest,
        imageMount,
        resourceClass: { cpu: 0, memoryBytes: 256 << 20, language: "python", gpu: "", network: "none" },
        launch: {
          ...{ command: runnerCommand("python"), user: rootUser, shown: [] },
          config: { env: {}, workdir: "", user: "" },
        },
        events: {
          output: () => {},
          started: () => {},
          childCall: () => {},
          childCancel: () => {},
          childWait: () => {},
          part: () => {},
          map: () => {},
          unloaded: () => {},
        },
        changed: () => {},
      },
      AbortSignal.timeout(60_000),
    );
    undo.defer(() => container.stop("the test is over"));

    const data = Buffer.alloc(3 << 20, "project data");
    const files = [
      { path: "app.py", data: Buffer.from(source) },
      { path: "data.bin", data },
    ].map((file) => ({ path: file.path, data: file.data, digest: sha256(file.data), size: file.data.length, mode: 0o644 }));
    for (const file of files) await store.put(file.data);
    const snapshot = sha256("the test's snapshot");
    await fuse.addSnapshot(
      container.id,
      snapshot,
      "",
      files.map(({ data: _, ...entry }) => entry),
      [],
    );
    await container.start(AbortSignal.timeout(30_000));
    container.specialise("passthrough");
    const version = sha256("the test's version");
    const loaded = await container.runner.load({
      ...{ app: "passthrough", snapshot, base: "", removed: [], retire: [], patches: [], secrets: {} },
      changed: files.map(({ path, digest }) => ({ path, digest })),
      blobs: [{ digest: files[0]!.digest, data: files[0]!.data }],
      versions: [
        {
          ...{ function: "sweep", digest: version, module: "app.py", qualname: "sweep", bundle: "" },
          ...{ className: "", keepsState: false, concurrency: 1, secrets: [] },
        },
      ],
    });
    expect(loaded.failure).toBeUndefined();
    const outcome = await container.runner.call({
      ...{ call: "00000000000000ff", snapshot, version, function: "sweep", timeoutMs: 60_000 },
      positional: Buffer.from("[]"),
      keywords: Buffer.alloc(0),
    });
    expect(outcome.failure).toBeUndefined();
    const [count, total, digest] = JSON.parse(Buffer.from(outcome.result!.json).toString()) as [number, number, string];
    expect(count).toBeGreaterThan(100);
    expect(total).toBeGreaterThan(1 << 20);
    expect(digest).toBe(files[1]!.digest);

    const stats = await fuse.stats();
    expect(stats.requests["READ"] ?? 0).toBe(0);
    // The tiered view asks FUSE for nothing of the image: only the project's files are opened through it.
    if (view === "tiered") expect(stats.requests["OPEN"] ?? 0).toBeLessThanOrEqual(files.length);
    else expect(stats.requests["OPEN"] ?? 0).toBeGreaterThan(count);
    expect(stats.passthroughOpens).toBe(stats.requests["OPEN"]);
  });
});
