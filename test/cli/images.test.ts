// `hob images` against a control whose node builds without running anything: built, listed, shown, compared, forgotten, collected.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openContentFolder } from "../../base/content-folder.ts";
import { linkAgent } from "../control/agent-double.ts";
import { makePlace as makeControlPlace, startControl } from "../control/harness.ts";
import { imageBuilder } from "../control/image-builder.ts";
import { hob, makePlace, type Said } from "./run-hob.ts";

const app = `import hob

base = hob.Image.debian("bookworm").run("make")
image = base.copy("assets", "/srv/assets")
wrong = base.run("fail")
app = hob.App("shop")


@app.function(image=base)
def price():
    return 1
`;

test("an image of a file is built once, listed, shown with its log, compared, forgotten, and its blobs are freed", async () => {
  using place = makePlace();
  using home = makeControlPlace();
  await using _control = await startControl(home);
  const builder = imageBuilder(home);
  using _agent = linkAgent(home.socket, {
    pools: false,
    build(agent, resolve) {
      if (resolve.image!.steps.at(-1)?.arguments[0] !== "fail") return builder.build(agent, resolve);
      const failure = {
        kind: "image",
        type: "",
        message: "image debian bookworm: step 2 `fail` exited 1",
        traceback: "",
        frames: [],
      };
      agent.send({ $case: "buildLog", value: { requested: resolve.image, step: 2, lines: ["it cannot be"], timeMs: 1 } });
      agent.send({ $case: "image", value: { requested: resolve.image, image: undefined, failure } });
    },
  });
  const project = join(place.folder, "project");
  mkdirSync(join(project, "assets"), { recursive: true });
  writeFileSync(join(project, "app.py"), app);
  writeFileSync(join(project, "assets/a.txt"), "a");
  const images = (...words: string[]): Promise<Said> => hob(place, ["images", ...words, "--control", `unix:${home.socket}`]);
  const rows = ({ stdout }: Said) =>
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  const built = await images("build", "project/app.py::image");
  expect(built.stderr).toMatch(
    /image debian bookworm: base debian bookworm on node-1\n {2}step 0 works\n.*step 1 of 2 run make on node-1\n {2}step 1 works\n.*step 2 of 2 copy to \/srv\/assets on node-1\n {2}step 2 works\n/,
  );
  const digest = built.stdout.trim();
  expect([digest.length, built.code]).toEqual([64, 0]);
  const [again, base, function_] = await Promise.all([
    images("build", "project/app.py::image"),
    images("build", "project/app.py::base", "--json"),
    images("build", "project/app.py::price"),
  ]);
  expect([again.stdout.trim(), again.code]).toEqual([digest, 0]);
  expect(builder.ran).toEqual(["base debian bookworm", "run make", "copy 1 file to /srv/assets"]);
  expect(rows(base).at(-1)).toMatchObject({ kind: "build", state: "ready", digest: function_.stdout.trim(), steps: 1 });

  const [listed, shown, text, differing] = await Promise.all([
    images("ls", "--json"),
    images("show", digest.slice(0, 8), "--json"),
    images("show", "project/app.py::image"),
    images("diff", function_.stdout.trim(), digest),
  ]);
  expect(rows(listed)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        image: "debian bookworm",
        digest,
        state: "ready",
        steps: ["run make", "copy 1 file to /srv/assets"],
      }),
    ]),
  );
  expect(rows(shown)[0]).toMatchObject({
    digest,
    blobs: 3,
    steps: [{ step: 0, ms: 5 }, { step: 1 }, { doing: "copy 1 file to /srv/assets" }],
  });
  expect(text.stdout).toMatch(/2 +copy 1 file to \/srv\/assets +0\.0 s[\s\S]*The last build's log:\n {2}0 {2}step 0 works/);
  expect(differing).toMatchObject({ code: 0, stdout: "+ steps/2\n" });

  const wrong = await images("build", "project/app.py::wrong");
  expect(wrong).toMatchObject({ code: 1, stdout: "" });
  expect(wrong.stderr).toMatch(/ {2}it cannot be\nhob: image debian bookworm: step 2 `fail` exited 1\n$/);
  const [log, absent, unknown] = await Promise.all([
    images("show", "project/app.py::wrong"),
    images("build", "project/app.py::nothing"),
    images("show", "ffffffff"),
  ]);
  expect(log.stdout).toMatch(/state +failed[\s\S]*The last build failed: .*exited 1\n[\s\S]*2 {2}it cannot be/);
  expect(absent).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/app.py has no image "nothing": NameError: .*: write for example/),
  });
  expect(unknown).toMatchObject({ code: 3, stderr: expect.stringContaining("there is no image ffffffff") });

  mkdirSync(join(project, "tree/bin"), { recursive: true });
  writeFileSync(join(project, "tree/bin/tool"), "#!/bin/sh\n");
  execFileSync("tar", ["-cf", "tree.tar", "-C", "tree", "."], { cwd: project });
  const [folder, tar] = await Promise.all([images("import", "project/tree"), images("import", "project/tree.tar", "--json")]);
  expect(rows(tar)[0]).toMatchObject({ kind: "image", image: expect.stringMatching(/^tar tree.tar@/), files: 1, bytes: 10 });
  const different = await images("diff", folder.stdout.trim(), String(rows(tar)[0]!["digest"]));
  expect(different).toMatchObject({ code: 0, stdout: "", stderr: "hob: no path differs but in its times\n" });
  const [unbuilt, noFile, noLayout, same] = await Promise.all([
    images("diff", digest, "project/app.py::wrong"),
    images("import", "project/absent.tar"),
    images("import", "registry.example/team/app:1", "--tag", "2"),
    images("import", "project/tree/../tree.tar"),
  ]);
  expect(unbuilt).toMatchObject({ code: 3, stderr: expect.stringMatching(/has not been built: `hob images show .*` says why/) });
  expect(noFile).toMatchObject({ code: 2, stderr: "hob: there is no file or folder project/absent.tar\n" });
  expect(noLayout).toMatchObject({ code: 2, stderr: expect.stringContaining("write HOST/NAME:TAG") });
  execFileSync("mv", ["tree.tar", "other.tar"], { cwd: project });
  await images("import", "project/other.tar");
  expect((await images("rm", same.stdout.trim())).stdout).toMatch(/\(tar .*\) is forgotten; its contents stay, as tar .*\.\n$/);
  expect(rows(await images("gc", "--unused", "--dry-run", "--json"))[0]!["images"]).toBeGreaterThan(2); // young as they are

  const store = openContentFolder(home.store, { durable: false });
  expect(store.has(digest)).toBe(true);
  expect((await images("rm", digest)).stdout).toContain("is forgotten");
  expect((await images("gc", "--dry-run")).stdout).toMatch(/^Would free .*: 2 blobs of 1 forgotten images\.\n$/);
  expect(rows(await images("gc", "--json"))[0]).toMatchObject({ blobs: 2, dryRun: false });
  expect([store.has(digest), store.has(function_.stdout.trim())]).toEqual([false, true]);
});
