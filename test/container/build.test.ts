// ⑤ Images in code, built by a real agent: Debian from this machine's mirrors, steps in containers, and calls over what they leave.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cgroupFolders } from "../../agent/container/cgroup.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { entriesOfManifest } from "../../fusefs/image/entries.ts";
import { ImageRef, type ImageStep } from "../../proto/gen/hob/v1/common.ts";
import type { ResourceClass } from "../../proto/gen/hob/v1/fleet.ts";
import { rootWithContainers, withDebianMirror } from "../drive/requirements.ts";
import { type AgentUnderTest, callOf, pythonLoad, startAgent, typescriptLoad } from "./agent-process.ts";

const step = (kind: string, ...words: string[]): ImageStep => ({ kind, arguments: words, files: [] });
const buildMs = 100_000;

// A package that nobody else has, so that it can only come from where the node is told to look.
const wheel = `
import zipfile, sys
with zipfile.ZipFile(sys.argv[1], "w") as file:
    file.writestr("greetings.py", "def word(): return 'servus'")
    file.writestr("greetings-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greetings\\nVersion: 1.0\\n")
    file.writestr("greetings-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: hob\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    file.writestr("greetings-1.0.dist-info/RECORD", "")
`;

const source = `
import os, socket, subprocess, sys

def look():
    import greetings
    return {
        "hello": subprocess.run(["hello"], capture_output=True, text=True).stdout.strip(),
        "copied": open("/srv/data/words.txt").read(),
        "word": greetings.word(),
        "environment": os.environ["GREETING"],
        "made": [oct(os.stat("/srv/made").st_mode & 0o7777), os.stat("/srv/made").st_uid, os.getxattr("/srv/made", "user.note").decode()],
        "who": [os.getuid(), os.getgroups()],
        "capability": os.getxattr("/srv/able", "security.capability").hex(),
        "kit": os.path.exists("/hob/apt"),
        "lists": os.listdir("/var/lib/apt/lists"),
    }

def through_proxy(port):
    gateway = open("/etc/resolv.conf").read().split()[1]
    client = socket.create_connection((gateway, 3128), timeout=5)
    try:
        client.sendall(b"CONNECT 127.0.0.2:%d HTTP/1.1\\r\\n\\r\\n" % port)
        return client.recv(100).decode()
    except ConnectionError:
        return ""
`;

const outside = (address: string): string => `python3 -c '
import urllib.request as request
try: print(request.urlopen("http://${address}/", timeout=5).status)
except request.HTTPError as error: print(error.code, error.read().decode())'`;

describe.skipIf(!rootWithContainers() || !withDebianMirror())("images in code", () => {
  const folder = mkdtempSync(join(tmpdir(), "hob-build-"));
  const store = join(folder, "store");
  let index: Server;
  let port = 0;
  let agent: AgentUnderTest;
  let base = "";
  let whole = "";

  const image = (...steps: ImageStep[]): ImageRef => ImageRef.fromPartial({ source: "debian", reference: "bookworm", steps });

  async function resolve(wanted: ImageRef, from = base, stepsDone = 0) {
    const same = (requested: ImageRef | undefined): boolean => JSON.stringify(requested) === JSON.stringify(wanted);
    agent.send({ $case: "resolve", value: { image: wanted, credentials: [], stepsDone, from } });
    const { image: info, failure } = await agent.heard("image", ({ requested }) => same(requested), buildMs);
    const steps = agent.said.flatMap((said) => (said.$case === "imageStep" && same(said.value.requested) ? [said.value] : []));
    const log = agent.said.flatMap((said) => (said.$case === "buildLog" && same(said.value.requested) ? [said.value] : []));
    return { digest: info?.digest ?? "", failure, steps, log };
  }

  async function call(
    digest: string,
    kind: Partial<ResourceClass>,
    work: (container: string) => Parameters<AgentUnderTest["send"]>[0],
  ): Promise<unknown> {
    const resourceClass = { cpu: 0, memoryBytes: 256 << 20, language: "python", gpu: "", network: "none", ...kind };
    agent.send({ $case: "pools", value: { pools: [{ image: digest, resourceClass, warm: 1, reserve: 0, wanted: 0 }] } });
    const fits = ({
      image: own,
      state,
      resourceClass: has,
    }: {
      image: string;
      state: string;
      resourceClass?: ResourceClass | undefined;
    }): boolean =>
      own === digest && state === "warm" && has?.language === resourceClass.language && has.network === resourceClass.network;
    const containers = await agent.containersFit((all) => all.some(fits));
    const command = work(containers.find(fits)?.id ?? "");
    agent.send(command);
    const name = command.$case === "dispatch" ? command.value.call : "";
    const finished = await agent.heard("finished", ({ call: own }) => own === name);
    expect(finished.failure).toBeUndefined();
    return JSON.parse(Buffer.from(finished.result!.json).toString());
  }

  beforeAll(async () => {
    const file = join(folder, "greetings-1.0-py3-none-any.whl");
    execFileSync("python3", ["-c", wheel, file]);
    index = createServer(({ url }, response) => {
      const link = `<a href="/greetings-1.0-py3-none-any.whl">greetings-1.0-py3-none-any.whl</a>`;
      if (url === "/simple/greetings/") response.setHeader("content-type", "text/html").end(link);
      else response.end(url?.endsWith(".whl") ? readFileSync(file) : "");
    });
    await new Promise<void>((listening) => index.listen(0, "127.0.0.2", listening));
    ({ port } = index.address() as AddressInfo);
    Object.assign(process.env, { PIP_INDEX_URL: `http://127.0.0.2:${port}/simple`, PIP_TRUSTED_HOST: "127.0.0.2" });
    agent = await startAgent(store);
    await agent.heard("hello");
    const made = await resolve(image(), "");
    expect(made.failure).toBeUndefined();
    expect(made.log.flatMap(({ lines }) => lines).join("\n")).toMatch(/installing essential packages/);
    expect(made.steps.map(({ stepsDone, digest }) => [stepsDone, digest])).toEqual([[0, made.digest]]);
    base = made.digest;
  }, buildMs);

  afterAll(async () => {
    for (const name of ["PIP_INDEX_URL", "PIP_TRUSTED_HOST"]) delete process.env[name];
    await agent?.[Symbol.asyncDispose]();
    index?.close();
    expect(existsSync(`${store}.builds`)).toBe(false);
    rmSync(folder, { recursive: true, force: true });
  });

  it(
    "are built step by step, with packages from the node's mirrors and indexes, and functions run over what they leave",
    async () => {
      const content = openContentFolder(store, { durable: false });
      const words = Buffer.from("grüß dich\n");
      const copied = { path: "words.txt", digest: await content.put(words), size: words.length, mode: 0o644 };
      const able = `open("/srv/able", "w").close(); os.setxattr("/srv/able", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))`;
      const note = `os.setxattr("/srv/made", "user.note", b"kept")`;
      const wanted = image(
        step("apt", "hello"),
        step("pip", "greetings"),
        { kind: "copy", arguments: ["/srv/data"], files: [copied] },
        step(
          "run",
          `useradd --uid 4321 app && touch /srv/made && chown app /srv/made && chmod 4750 /srv/made && python3 -c 'import os; ${able}; ${note}'`,
        ),
        step("env", "GREETING", "hello there"),
        step("user", "app"),
        step("run", `id -un > /tmp/who && cat /tmp/who && ${outside("127.0.0.3:9")} && ${outside(`127.0.0.2:${port}`)}`),
      );
      const built = await resolve(wanted);
      expect(built.failure).toBeUndefined();
      expect(built.steps.map(({ stepsDone }) => stepsDone)).toEqual([1, 2, 3, 4, 5, 6, 7]);
      const printed = built.log.filter(({ step: of }) => of === 7).flatMap(({ lines }) => lines);
      // The node's own addresses are out of reach, but for the index that it is configured for.
      expect(printed).toEqual(["app", expect.stringMatching(/^403 hob: 127.0.0.3:9 lies in a network of the node/), "", "200"]);
      whole = built.digest;
      const entries = new Map([...entriesOfManifest(decodeManifest(content.read(whole)))].map((entry) => [entry.path, entry]));
      expect([entries.get("etc/resolv.conf"), entries.get("hob"), entries.get("tmp/who")]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(entries.get("srv/able")?.xattrs?.get("security.capability")?.length).toBe(20); // not bound to the build's own user namespace
      expect(
        await call(whole, {}, (container) =>
          callOf("look", pythonLoad(container, source, ["look"]), "look", [], { withLoad: true }),
        ),
      ).toEqual({
        ...{ hello: "Hello, world!", copied: "grüß dich\n", word: "servus", environment: "hello there" },
        ...{ made: ["0o4750", 4321, "kept"], who: [4321, []], capability: "0100000200040000000000000000000000000000" },
        ...{ kit: false, lists: [] },
      });
    },
    buildMs,
  );

  it(
    "serve TypeScript on the agent's own Node, and no container but a build's gets at the agent's proxy",
    async () => {
      const bundle = 'exports.default = () => Number(process.versions.node.split(".")[0]);';
      expect(
        await call(whole, { language: "typescript" }, (container) =>
          callOf("major", typescriptLoad(container, bundle, "major"), "major", [], { withLoad: true }),
        ),
      ).toBeGreaterThanOrEqual(24);
      const tried = (container: string) =>
        callOf("proxy", pythonLoad(container, source, ["through_proxy"]), "through_proxy", [port], { withLoad: true });
      expect(await call(whole, { network: "internet" }, tried)).toBe("");
    },
    buildMs,
  );

  it(
    "that fail say which step and why, and go on from the step before once it is mended",
    async () => {
      const broken = await resolve(image(step("run", "echo one > /srv/one"), step("apt", "hello", "nump")));
      expect(broken.failure).toMatchObject({
        kind: "image",
        message: expect.stringMatching(
          /^image debian bookworm: step 2 "apt_install hello nump" exited 100: E: Unable to locate package nump: check the name: .*apt-cache search num/,
        ),
        traceback: expect.stringContaining("E: Unable to locate package nump"),
      });
      const [first] = broken.steps;
      expect(broken.steps.map(({ stepsDone }) => stepsDone)).toEqual([1]);
      const mended = await resolve(
        image(step("run", "echo one > /srv/one"), step("run", "cat /srv/one; sleep 0.3")),
        first?.digest,
        1,
      );
      expect(mended.steps.map(({ stepsDone }) => stepsDone)).toEqual([2]);
      expect(mended.log.flatMap(({ lines }) => lines)).toEqual(["one"]);
      const unknown = await resolve(ImageRef.fromPartial({ source: "debian", reference: "nosuchsuite" }), "");
      expect(unknown.failure).toMatchObject({
        kind: "image",
        message: expect.stringMatching(/^image debian nosuchsuite: mmdebstrap exited .*suite of Debian/),
      });
    },
    buildMs,
  );

  it(
    "that nobody waits for any more end, and leave nothing",
    async () => {
      const { run, key } = agent.options;
      const hanging = image(step("run", "echo begun; sleep 1000"));
      agent.send({ $case: "resolve", value: { image: hanging, credentials: [], stepsDone: 0, from: base } });
      await agent.heard(
        "buildLog",
        ({ requested, lines }) => JSON.stringify(requested) === JSON.stringify(hanging) && lines.includes("begun"),
      );
      const build = (): string | undefined => readdirSync(join(run, "c")).find((name) => /^b[0-9a-f]{8}$/.test(name));
      expect(build()).toBeDefined();
      const hellos = agent.said.filter(({ $case }) => $case === "hello").length;
      agent.dropLink();
      await expect.poll(() => agent.said.filter(({ $case }) => $case === "hello").length, { timeout: 10_000 }).toBe(hellos + 1);
      await expect.poll(build, { timeout: 10_000 }).toBeUndefined();
      expect(readdirSync(join(`${store}.builds`, key))).toEqual([]);
      const cgroups = await cgroupFolders(`hob-${key}`);
      expect(cgroups.flatMap((parent) => readdirSync(parent)).filter((name) => /^b[0-9a-f]{8}$/.test(name))).toEqual([]);
      const again = await resolve(image(step("run", "true")));
      expect(again.failure).toBeUndefined();
    },
    buildMs,
  );
});
