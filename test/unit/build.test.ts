// ⑤ Builds of images: what of them is decided without a container.

import { describe, expect, it } from "vitest";
import { debianSources, parseDeb822, parseSourcesList, sourceLine, sourcesFor } from "../../agent/build/apt-sources.ts";
import { createBuildOutput } from "../../agent/build/build-log.ts";
import { changeOf } from "../../agent/build/changes.ts";
import { explainBase, explainStep } from "../../agent/build/explain.ts";
import { npmLines, pipVariables } from "../../agent/build/package-config.ts";
import { type Reach, routeOf } from "../../agent/network/reach.ts";
import { launchOf, runtimeOf } from "../../agent/runner/image-runtime.ts";
import { userOf } from "../../agent/runner/users.ts";
import { HobError } from "../../base/errors.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { encodeManifest, type ManifestEntry } from "../../fusefs/image/encode.ts";
import { ImageRef, type ImageStep } from "../../proto/gen/hob/v1/common.ts";

describe("the node's configuration", () => {
  const list = `# comment
deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://mirror.test/debian bookworm main contrib # trailing
deb-src http://mirror.test/debian bookworm main
deb cdrom:[disc] bookworm main`;
  const stanza = `Types: deb deb-src
URIs: http://a.test/debian http://b.test/debian
Suites: bookworm bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
Enabled: no
URIs: http://off.test
Suites: bookworm
Components: main`;

  it("gives apt's sources in both of their forms, and for the suite that is wanted", () => {
    const [first, ...others] = parseSourcesList(list);
    expect(first).toEqual({
      ...{ uri: "http://mirror.test/debian", suite: "bookworm", components: ["main", "contrib"] },
      ...{ options: ["trusted=yes"], signedBy: "/k.gpg" },
    });
    expect(others.map(({ uri }) => uri)).toEqual(["cdrom:[disc]"]);
    const modern = parseDeb822(stanza);
    expect(modern.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual(
      ["a", "b"].flatMap((name) => ["bookworm", "bookworm-security"].map((suite) => `http://${name}.test/debian ${suite}`)),
    );
    expect(modern[0]?.signedBy).toBe("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc");
    const wanted = sourcesFor([...parseSourcesList(list), ...modern], "bookworm", "trixie").map((each) =>
      sourceLine(each, "/hob/k"),
    );
    expect(wanted[0]).toBe("deb [trusted=yes signed-by=/hob/k] http://mirror.test/debian trixie main contrib");
    expect(wanted.at(-1)).toBe("deb [signed-by=/hob/k] http://b.test/debian trixie-security main");
    expect(sourcesFor(modern, "bookworm", "sid").map(({ suite }) => suite)).toEqual(["sid", "sid"]); // it has no updates
    expect(sourcesFor(parseSourcesList("deb http://x.test/docker bookworm stable"), "bookworm", "bookworm")).toEqual(
      debianSources("bookworm"),
    );
  });

  it("tells pip and npm in a container where packages come from, and nothing about the node's folders", () => {
    const pip =
      "[global]\nindex-url = https://index.test/simple\nfind-links = /opt/wheels\n  https://wheels.test/\n[list]\nindex-url = no";
    expect(pipVariables([pip], { PIP_TRUSTED_HOST: "index.test" })).toEqual({
      ...{ PIP_INDEX_URL: "https://index.test/simple", PIP_FIND_LINKS: "https://wheels.test/", PIP_TRUSTED_HOST: "index.test" },
    });
    const npm = ["cache=/x\nregistry = https://r.test/\n//r.test/:_authToken=$" + "{TOKEN}\n@a:registry=https://a.test/"];
    expect(npmLines(npm, { TOKEN: "t", NPM_CONFIG_REGISTRY: "https://over.test/" })).toEqual([
      ...["registry=https://r.test/", "//r.test/:_authToken=t", "@a:registry=https://a.test/", "registry=https://over.test/"],
    ]);
  });
});

describe("what a build may reach", () => {
  const upstream = { host: "proxy.test", port: 8080, credentials: "" };
  const reach = (changes: Partial<Reach> = {}): Reach => ({
    configured: [{ host: "mirror.lan", port: 80, upstream: undefined }],
    ...{ proxies: { http: undefined, https: undefined, except: [] }, ...changes },
  });
  const around = { addresses: ["203.0.113.9"], neighbours: ["198.51.100.0/24"], own: ["192.0.2.1", "fe80::1"], uplink: true };
  const to = (host: string, port = 80) => ({ scheme: "http" as const, host, port });

  it("is the configured hosts at their ports, and public addresses, dialled as they were judged", () => {
    expect(routeOf(reach(), to("mirror.lan"), { ...around, addresses: [], uplink: false })).toEqual({
      kind: "direct",
      host: "mirror.lan",
      port: 80,
    });
    expect(routeOf(reach(), to("example.test"), around)).toEqual({ kind: "direct", host: "203.0.113.9", port: 80 });
    const refused = (host: string, addresses: string[], port = 80): string => {
      const route = routeOf(reach(), to(host, port), { ...around, addresses });
      return route.kind === "refused" ? route.reason : route.kind;
    };
    expect(refused("mirror.lan", ["10.0.0.5"], 22)).toMatch(/^mirror.lan:22 lies in a network of the node/);
    for (const address of [
      "10.1.2.3",
      "127.0.0.1",
      "169.254.169.254",
      "198.51.100.7",
      "192.0.2.1",
      "::1",
      "fe80::1",
      "fd00::1",
      "::ffff:10.0.0.1",
      "198.18.0.1",
    ]) {
      expect(refused("x.test", ["203.0.113.9", address])).toMatch(/lies in a network of the node/);
      expect(refused(address, [])).toMatch(/lies in a network of the node/);
    }
    expect(refused("nowhere.test", [])).toMatch(/has no address/);
    expect(routeOf(reach(), to("example.test"), { ...around, uplink: false }).kind).toBe("refused");
  });

  it("goes through the node's own proxy where there is one, which is no way into the node's network either", () => {
    const proxied = reach({ proxies: { http: upstream, https: undefined, except: [".lan", "direct.test"] } });
    expect(routeOf(proxied, to("example.test"), { ...around, uplink: false })).toEqual({ kind: "through", upstream });
    expect(routeOf(proxied, to("only.known.there"), { ...around, addresses: [] })).toEqual({ kind: "through", upstream });
    expect(routeOf(proxied, to("www.direct.test"), around).kind).toBe("direct");
    expect(routeOf(proxied, to("intranet"), { ...around, addresses: [] }).kind).toBe("refused");
    expect(routeOf(proxied, to("10.0.0.1"), around).kind).toBe("refused");
  });
});

describe("a failed build says", () => {
  const step = (kind: string, ...words: string[]): ImageStep => ({ kind, arguments: words, files: [] });
  const image = ImageRef.fromPartial({
    ...{ source: "debian", reference: "bookworm" },
    steps: [step("run", "true"), step("apt", "nump"), step("run", "make"), step("pip", "nope")],
  });
  const ended = { code: 100, signal: "", memoryKills: 0, cut: "" };

  it("which image and step, how it ended, what it printed, and what to try", () => {
    expect(explainStep(image, 1, ended, ["Reading package lists...", "E: Unable to locate package nump"])).toBe(
      'image debian bookworm: step 2 "apt_install nump" exited 100: E: Unable to locate package nump: check the name: `apt-cache search num` lists those near it',
    );
    expect(explainStep(image, 2, { ...ended, code: 127 }, ["sh: 1: make: not found"])).toMatch(
      /"run make" exited 127: sh: 1: make: not found: install the program/,
    );
    expect(explainStep(image, 2, { ...ended, signal: "SIGKILL", memoryKills: 1 }, ["compiling"])).toMatch(
      /"run make" ran out of memory: compiling$/,
    );
    expect(explainStep(image, 2, { ...ended, cut: "it took longer than 30 minutes" }, [])).toMatch(
      /was ended: it took longer than 30 minutes$/,
    );
    expect(explainStep(image, 3, { ...ended, code: 1 }, ["ERROR: No matching distribution found for nope", "x"])).toMatch(
      /exited 1: ERROR: No matching .* at the package index$/,
    );
    const base = explainBase(image, new HobError("unavailable", "mmdebstrap exited 25"), [
      "E: The repository 'x trixi Release' does not have a Release file.",
    ]);
    expect([base.kind, base.message]).toEqual([
      "function",
      expect.stringMatching(/^image debian bookworm: mmdebstrap exited 25: E: The repository .*: check that it is a suite/),
    ]);
  });

  it("no more than can be read: lines are cut, and a flood is counted", () => {
    const sent: string[][] = [];
    const output = createBuildOutput((lines) => sent.push(lines));
    output.write("stdout", Buffer.from("10 %\r20 %\r100 %\nhalf of a lí"));
    output.write("stderr", Buffer.from(`${"x".repeat(5000)}\n`));
    output.write("stdout", Buffer.from("ne"));
    output.flush();
    expect(sent).toEqual([["100 %", `${"x".repeat(1000)}…`, "half of a líne"]]);
    for (let i = 0; i < 300; i++) output.line(String(i));
    output.flush();
    expect(sent[1]).toHaveLength(201);
    expect(sent[1]?.at(-1)).toBe("hob: 100 lines were left out here");
    expect(output.last().at(-1)).toBe("299");
  });
});

describe("over an image", () => {
  const owner = { uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 };
  const digest = "a".repeat(64);
  const file = (path: string, size = 1): ManifestEntry => ({ kind: "file", path, size, digest, mode: 0o755, ...owner });
  const link = (path: string, target: string): ManifestEntry => ({ kind: "symlink", path, target, mode: 0o777, ...owner });
  const image = (entries: ManifestEntry[], config = { env: {}, workdir: "", user: "" }) =>
    decodeManifest(encodeManifest(entries, config));
  const own = { path: "/opt/node", bytes: 100 };
  const debian = [
    file("usr/bin/python3.11"),
    link("usr/bin/python3", "python3.11"),
    link("lib", "usr/lib"),
    link("lib64", "usr/lib64"),
  ];
  const glibc = [
    file("usr/lib64/ld-linux-x86-64.so.2"),
    file("usr/lib/ld-linux-aarch64.so.1"),
    file("usr/lib/x86_64-linux-gnu/libstdc++.so.6"),
    file("usr/lib/aarch64-linux-gnu/libstdc++.so.6"),
  ];
  const launch = (language: "python" | "typescript", manifest: ReturnType<typeof image>, text = "") =>
    launchOf(
      language,
      runtimeOf(manifest, own, () => text),
      { node: own, hostsFile: "/run/hosts" },
    );

  it("runners start with its own interpreters, or the agent's Node, and its environment below what they need", () => {
    const env = { PATH: "/opt/venv/bin:/usr/bin", PYTHONDONTWRITEBYTECODE: "0", GREETING: "hi" };
    const { command } = launch("python", image(debian, { env, workdir: "", user: "" }));
    expect(command.args[0]).toBe("/usr/bin/python3");
    expect(command.env).toMatchObject({ PATH: env.PATH, GREETING: "hi", PYTHONDONTWRITEBYTECODE: "1" });
    expect(launch("typescript", image([...debian, ...glibc]))).toMatchObject({
      ...{
        command: { args: ["/hob/bin/node", expect.any(String)] },
        shown: [
          { destination: "/hob/bin/node", source: "/opt/node" },
          { destination: "/etc/hosts", source: "/run/hosts" },
        ],
      },
    });
    const newer = [file("etc/hosts"), file("usr/local/bin/node"), file("usr/local/include/node/node_version.h")];
    expect(launch("typescript", image(newer), "#define NODE_MAJOR_VERSION 26\n")).toMatchObject({
      command: { args: ["/usr/local/bin/node", expect.any(String)] },
      shown: [],
    });
    expect(launch("typescript", image([file("etc/hosts"), file("usr/local/bin/node", own.bytes)])).shown).toEqual([]); // the very one
    expect(() => launch("python", image([file("usr/bin/node")]))).toThrow(/no python3.*|apt_install/);
    expect(() => launch("python", image([file("usr/bin/python3.7"), link("usr/bin/python3", "python3.7")]))).toThrow(
      "the image's python3 is 3.7, and hob's runner needs 3.9",
    );
    expect(() =>
      launch("typescript", image([...newer, file("lib/ld-musl-x86_64.so.1")]), "#define NODE_MAJOR_VERSION 20\n"),
    ).toThrow("the image has no Node 24");
  });

  it("a user is whom its passwd and group name", () => {
    const passwd = "root:x:0:0::/root:/bin/sh\napp:x:101:102::/:/bin/sh\n";
    const group = "staff:x:50:app,other\napp:x:102:\n";
    expect(userOf("app", passwd, group)).toEqual({ uid: 101, gid: 102, additionalGids: [50] });
    expect(userOf("101:staff", passwd, group)).toEqual({ uid: 101, gid: 50, additionalGids: [] });
    expect(userOf("4000", passwd, group)).toEqual({ uid: 4000, gid: 0, additionalGids: [] });
    expect(() => userOf("nobody", passwd, group)).toThrow('the image has no user "nobody"');
  });

  it("a copy follows its links, and replaces; env, workdir and user change what it says of processes", () => {
    const before = image([...debian, file("etc/passwd"), file("usr/lib/data/a", 5), link("srv", "/usr/lib/data")]);
    const step = (kind: string, words: string[], files: ImageStep["files"] = []): ImageStep => ({
      kind,
      arguments: words,
      files,
    });
    const copied = { digest: "b".repeat(64), size: 9 << 20, mode: 0o640 };
    const after = changeOf(
      before,
      step(
        "copy",
        ["/srv"],
        [
          { path: "a", ...copied },
          { path: "new/b", ...copied },
        ],
      ),
      () => [digest],
    );
    const found = Object.fromEntries([...(after?.entries ?? [])].map((entry) => [entry.path, entry]));
    expect(found["usr/lib/data/a"]).toMatchObject({ digest: copied.digest, size: copied.size, mode: 0o640, chunks: [digest] });
    expect(found["usr/lib/data/new/b"]).toMatchObject({ digest: copied.digest });
    expect(() => changeOf(before, step("copy", ["/srv"], [{ path: "", ...copied }]), () => undefined)).toThrow(
      "/srv is a folder in the image",
    );
    expect(() => changeOf(before, step("copy", ["/srv/a/b"], [{ path: "", ...copied }]), () => undefined)).toThrow(
      "leads through what is no folder",
    );
    const said = [step("env", ["A", "1"]), step("workdir", ["/lib/app"]), step("user", ["app"])].reduce((manifest, each) => {
      const { entries, config } = changeOf(manifest, each, () => undefined)!;
      return decodeManifest(encodeManifest(entries, config));
    }, before);
    expect(runtimeOf(said, own, () => "app:x:5:5::/:\n").config).toEqual({ env: { A: "1" }, workdir: "/lib/app", user: "app" });
    const later = changeOf(said, step("env", ["B", "2"]), () => undefined);
    expect([...(later?.entries ?? [])].map(({ path }) => path)).toContain("usr/lib/app");
    expect(changeOf(before, step("apt", ["x"]), () => undefined)).toBeUndefined();
  });
});
