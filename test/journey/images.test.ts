// An image in code, from the save to the result: built by a pool of this machine, its steps kept, its failures told.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { rootWithContainers, withDebianMirror } from "../drive/requirements.ts";
import { makeWorkplace, type Workplace } from "../drive/workplace.ts";

const hob = join(installRoot, "bin/hob");
const runFile = promisify(execFile);

const source = (image: string): string => `import hob

image = ${image}
app = hob.App("made")


@app.function(image=image)
def look(path: str = "/srv/assets/a.txt"):
    import os

    return [open(path).read().strip(), os.environ.get("COLOUR")]
`;
const steps =
  'hob.Image.host().run("mkdir -p /opt/made && echo made > /opt/made/it").copy("assets", "/srv/assets").env(COLOUR="green")';

/** A registry of npm's kind with one package, which nobody else has. */
async function serveGreetings(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "hob-npm-"));
  mkdirSync(join(folder, "package"));
  const manifest = { name: "hob-greetings", version: "1.0.0", main: "index.js" };
  writeFileSync(join(folder, "package/package.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "package/index.js"), "exports.Greeter = class { word() { return 'servus'; } };\n");
  execFileSync("tar", ["czf", "package.tgz", "package"], { cwd: folder });
  const archive = readFileSync(join(folder, "package.tgz"));
  rmSync(folder, { recursive: true });
  const server = createServer(({ url, headers }, response) => {
    const tarball = `http://${headers.host}/hob-greetings/-/package.tgz`;
    const versions = { "1.0.0": { ...manifest, dist: { tarball } } };
    if (url?.endsWith(".tgz")) response.end(archive);
    else if (url === "/hob-greetings")
      response.end(JSON.stringify({ name: manifest.name, "dist-tags": { latest: "1.0.0" }, versions }));
    else response.writeHead(404).end("{}");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.2", listening));
  return server;
}

describe.skipIf(!rootWithContainers())("an image in code", () => {
  let place: Workplace;
  let environment: NodeJS.ProcessEnv;
  let registry: Server;
  beforeAll(async () => {
    registry = await serveGreetings();
    place = makeWorkplace({ "app.py": source(steps), ".hobignore": "" });
    mkdirSync(join(place.project, "assets"));
    place.save("assets/a.txt", "first\n");
    environment = { ...process.env, ...place.environment, HOB_LINGER_MS: "60000" };
    environment["NPM_CONFIG_REGISTRY"] = `http://127.0.0.2:${(registry.address() as AddressInfo).port}/`;
  });
  afterAll(async () => {
    await runFile(hob, ["pool", "stop"], { env: environment });
    place[Symbol.dispose]();
    registry.close();
  });

  async function call(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const options = { cwd: place.project, env: environment, timeout: 100_000 };
    const ran = await runFile(hob, argv, options).catch((error: { code: number; stdout: string; stderr: string }) => error);
    return { code: "code" in ran ? ran.code : 0, stdout: ran.stdout, stderr: ran.stderr };
  }

  test("a function runs in what its steps have made, and an edited file is another image, of which only the later steps are run", async () => {
    expect(await call("run", "app.py::look")).toMatchObject({ code: 0, stdout: '["first","green"]\n' });
    expect((await call("run", "app.py::look", '["/opt/made/it"]')).stdout).toBe('["made","green"]\n');
    place.save("assets/a.txt", "second\n");
    expect((await call("run", "app.py::look")).stdout).toBe('["second","green"]\n');
    const shown = JSON.parse((await call("images", "show", "app.py::image", "--json")).stdout) as {
      steps: { doing: string }[];
      log: { step: number }[];
    };
    expect(shown.steps.map(({ doing }) => doing)).toEqual([
      "base host",
      "run mkdir -p /opt/made && echo made > /opt/made/it",
      "copy 1 file to /srv/assets",
      "env COLOUR=green",
    ]);
    expect(shown.log.map(({ step }) => step)).not.toContain(1); // the first build's
  });

  test("a step that fails fails the call with image, step, command and exit code, after what it printed; a shell has the image before", async () => {
    place.save("app.py", source(`${steps}.run("echo it cannot be; exit 3")`));
    const failed = await call("run", "app.py::look");
    expect(failed).toMatchObject({ code: 1, stdout: "" });
    expect(failed.stderr).toMatch(/ {2}it cannot be\n/);
    expect(failed.stderr).toMatch(/look failed: image host: step 4 .*exited 3/);
    expect((await call("images", "show", "app.py::image")).stdout).toMatch(/state +failed[\s\S]*it cannot be/);
    place.save("app.py", source(steps));
    const shell = await call("shell", "--image", "app.py::image", "--", "sh", "-c", "cat /srv/assets/a.txt; echo $COLOUR");
    expect(shell).toMatchObject({ code: 0, stdout: "second\ngreen\n" });
  });

  test("a TypeScript function imports a package that its image has and the laptop lacks", async () => {
    const greet = (image: string): string => `import { App, Image } from "hob";
import { Greeter } from "hob-greetings";
const app = new App("greeter");
const greeter = new Greeter();
export const greet = app.function({ image: ${image} }, async () => greeter.word());
`;
    place.save("greet.ts", greet("Image.host()"));
    const lacking = await call("run", "greet.ts::greet");
    expect(lacking.code).not.toBe(0);
    expect(lacking.stderr).toContain('Could not resolve "hob-greetings"');
    place.save("greet.ts", greet('Image.host().npmInstall("hob-greetings")'));
    expect(await call("run", "greet.ts::greet")).toMatchObject({ code: 0, stdout: '"servus"\n' });
  });

  test.skipIf(!withDebianMirror())(
    "a Debian with a package runs its first call in the time that it takes to build it",
    async () => {
      place.save(
        "app.py",
        source('hob.Image.debian("bookworm").apt_install("python3-minimal", "libpython3-stdlib", "sl").env(COLOUR="blue")'),
      );
      const ran = await call("run", "app.py::look", '["/etc/debian_version"]');
      expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\["12\.\d+","blue"\]\n$/) });
      expect(ran.stderr).toMatch(/image debian bookworm: step 1 of 2 apt_install python3-minimal libpython3-stdlib sl/);
    },
  );
});
