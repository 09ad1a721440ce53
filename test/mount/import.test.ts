// ⑤ Images of others: as umoci unpacks them, from a layout and from a real registry, over connections that break and bytes that change.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openContentFolder, sha256 } from "../../base/content-folder.ts";
import { configOf } from "../../fusefs/image/config.ts";
import { decodeManifest } from "../../fusefs/image/decode.ts";
import { importFromRegistry, type RegistryImportOptions } from "../../fusefs/image/import/from-registry.ts";
import type { Platform } from "../../fusefs/image/import/oci.ts";
import { importOciLayout } from "../../fusefs/image/import/oci-layout.ts";
import type { ImportedImage } from "../../fusefs/image/import/outcome.ts";
import { registryCredentials } from "../../project/registry-credentials.ts";
import { debianTar } from "../drive/debian-tar.ts";
import { login, type RegistryPeers, type Relay, startRegistryPeers, startRelay } from "../drive/registry-peers.ts";
import { programs } from "../drive/requirements.ts";
import { tarOf } from "../drive/tar-writer.ts";
import { treeDifferences } from "../drive/tree-comparison.ts";
import { type Mounted, probe, startMounted } from "./mounted.ts";

const run = (program: string, ...words: string[]): string =>
  execFileSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const amd64: Platform = { os: "linux", architecture: "amd64", variant: "" };

/** What Debian has none of: every kind of inode, attributes, holes, times, names that are bytes. */
function makeOddities(root: string): void {
  mkdirSync(join(root, "odd/deep"), { recursive: true });
  const at = (name: string): string => join(root, "odd", name);
  writeFileSync(at("setuid"), "program");
  chmodSync(at("setuid"), 0o6751);
  linkSync(at("setuid"), at("deep/hard-link"));
  writeFileSync(at("holes"), "start");
  truncateSync(at("holes"), 40 << 20);
  writeFileSync(at("holes"), "end", { flag: "a" });
  writeFileSync(Buffer.concat([Buffer.from(at("caf")), Buffer.from([0xe9, 0xff])]), "latin-1");
  writeFileSync(at("n".repeat(200)), "a long name");
  symlinkSync(`${"../".repeat(60)}etc/${"t".repeat(100)}`, at("long-link"));
  run("mkfifo", "-m", "640", at("fifo"));
  run("mknod", "-m", "660", at("disk"), "b", "259", "70000");
  run("mknod", "-m", "666", at("null"), "c", "1", "3");
  run("setfattr", "-n", "user.odd", "-v", "0xff00fe", at("deep"));
  run("setfattr", "-n", "security.capability", "-v", "0x0100000200200000000000000000000000000000", at("setuid"));
  run("chown", "70000:123456", at("deep"));
  lutimesSync(at("setuid"), 1234567890.123456, 1234567890.123456);
  lutimesSync(at("long-link"), -86_400.5, -86_400.5);
  chmodSync(at("deep"), 0o3777);
}

/** A third layer by hand: what an image builder's difference of two trees holds. */
const changes = tarOf([
  { name: "usr/share/doc/.wh..wh..opq" },
  { name: "usr/share/doc/only-this", data: "new" },
  { name: "etc/.wh.debian_version" },
  { name: "etc/skel/", type: "5", mode: 0o700, mtimeSeconds: 1_111_111_111 },
  { name: "etc/passwd/", type: "5", mode: 0o755 },
  { name: "etc/passwd/inside", data: "a folder now" },
  { name: "var/cache", data: "a file now" },
  { name: "usr/bin/another-name", type: "1", link: "usr/bin/env" },
  { name: "bin/through-a-symlink", data: "lands in usr/bin", mode: 0o755 },
]);

/** Tags "debian" (three layers and a config), "small", its like for another machine "arm", and "packed". */
async function makeLayout(folder: string): Promise<string> {
  const layout = join(folder, "layout");
  const oddities = join(folder, "oddities");
  mkdirSync(oddities);
  makeOddities(oddities);
  const pax = ["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner"];
  run("tar", "-C", oddities, ...pax, "-cf", join(folder, "oddities.tar"), "odd");
  writeFileSync(join(folder, "changes.tar"), changes);
  const noise = Buffer.concat(Array.from({ length: 5000 }, (_, index) => createHash("sha512").update(`${index}`).digest()));
  writeFileSync(
    join(folder, "small.tar"),
    tarOf([
      { name: "hello", data: "hi" },
      { name: "noise", data: noise },
    ]),
  );
  writeFileSync(join(folder, "packed.tar"), tarOf([{ name: "packed", data: "x".repeat(2_000_000) }]));
  run("umoci", "init", "--layout", layout);
  for (const tag of ["debian", "small", "packed"]) run("umoci", "new", "--image", `${layout}:${tag}`);
  for (const tar of [await debianTar(), join(folder, "oddities.tar"), join(folder, "changes.tar")]) {
    run("umoci", "raw", "add-layer", "--image", `${layout}:debian`, tar);
  }
  for (const tag of ["small", "packed"])
    run("umoci", "raw", "add-layer", "--image", `${layout}:${tag}`, join(folder, `${tag}.tar`));
  const config = [
    "--config.env",
    "PATH=/opt/bin:/bin",
    "--config.env",
    "EMPTY=",
    "--config.workingdir",
    "/srv",
    "--config.user",
    "nobody:nogroup",
  ];
  run("umoci", "config", "--image", `${layout}:debian`, "--architecture", "amd64", ...config);
  run("umoci", "config", "--image", `${layout}:small`, "--architecture", "amd64");
  run("umoci", "config", "--image", `${layout}:small`, "--tag", "arm", "--architecture", "arm64");
  return layout;
}

/** An index of these tags, as one tag "many" of the layout. */
function writeIndex(layout: string, tags: string[]): string {
  const path = join(layout, "index.json");
  const index = JSON.parse(readFileSync(path, "utf8")) as { manifests: { annotations: Record<string, string> }[] };
  const architectures: Record<string, object> = {
    arm: { architecture: "arm64", os: "linux", variant: "v8" },
    small: { architecture: "amd64", os: "linux" },
  };
  const manifests = tags.map((tag) => {
    const { annotations, ...entry } = index.manifests.find(
      (each) => each.annotations["org.opencontainers.image.ref.name"] === tag,
    ) ?? { annotations: {} };
    return { ...entry, platform: architectures[tag] };
  });
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  writeFileSync(join(layout, "blobs/sha256", sha256(bytes)), bytes);
  const annotations = { "org.opencontainers.image.ref.name": "many" };
  index.manifests.push({ mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length, annotations } as never);
  writeFileSync(path, JSON.stringify(index));
  return "many";
}

const possible =
  probe.fuse && process.getuid?.() === 0 && programs("mmdebstrap", "umoci", "skopeo", "docker-registry", "setfattr", "openssl");

describe.skipIf(!possible)("an image of others", () => {
  let folder: string;
  let layout: string;
  let mounted: Mounted;
  let debian: ImportedImage; // as it comes from the layout
  let peers: RegistryPeers;
  let relay: Relay;
  let credentials: RegistryImportOptions["credentials"];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "hob-import-"));
    layout = await makeLayout(folder);
    mounted = await startMounted();
    debian = await importOciLayout(layout, { store: mounted.store, tag: "debian", platform: amd64 });
    peers = await startRegistryPeers(join(folder, "peers"));
    relay = await startRelay(peers.tokens.port);
    for (const tag of ["debian", "small"]) await peers.push(`oci:${layout}:${tag}`, `test/${tag}:1`);
    const logins = { auths: { [relay.host]: { auth: Buffer.from(`${login.username}:${login.password}`).toString("base64") } } };
    await mkdir(join(folder, "docker"));
    writeFileSync(join(folder, "docker/config.json"), JSON.stringify(logins));
    credentials = await registryCredentials([`${relay.host}/test/debian`], {
      HOME: folder,
      DOCKER_CONFIG: join(folder, "docker"),
      XDG_RUNTIME_DIR: folder,
    });
  }, 120_000);
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]();
    await peers?.[Symbol.asyncDispose]();
    await mounted?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const pull = (name: string, options: Partial<RegistryImportOptions> = {}) =>
    importFromRegistry(`${relay.host}/${name}`, { store: mounted.store, credentials, platform: amd64, ...options });
  const sentence = (failing: Promise<unknown>): Promise<string> =>
    failing.then(
      () => "no error",
      (error: { sentence?: string }) => error.sentence ?? String(error),
    );
  /** Harm to the first requests that match, one each. */
  function harmInTurn(match: RegExp, ...harms: ReturnType<Relay["harm"]>[]): void {
    relay.requests.length = 0;
    relay.harm = ({ path }) => (match.test(path) ? harms.shift() : undefined);
  }

  it("is on its mount byte for byte and attribute for attribute what umoci unpacks", async () => {
    const rootfs = join(folder, "rootfs");
    run("umoci", "raw", "unpack", "--image", `${layout}:debian`, rootfs);
    const point = await mounted.point("debian");
    await mounted.server.mountImage(debian.digest, point);
    expect(treeDifferences(rootfs, point)).toEqual([]);
    expect(configOf(decodeManifest(mounted.store.read(debian.digest)))).toEqual({
      env: { PATH: "/opt/bin:/bin", EMPTY: "" },
      workdir: "/srv",
      user: "nobody:nogroup",
    });
    expect(await sentence(importOciLayout(layout, { store: mounted.store }))).toMatch(
      /it has 4 images: name one of its tags: .*debian/,
    );
  });

  it("comes from a registry as from the layout, by token or password, in docker's form, in zstd, by digest, and through an index", async () => {
    let seen = [0, 0];
    relay.requests.length = 0;
    const pulled = await pull("test/debian:1", {
      progress: (...bytes) => {
        seen = bytes;
      },
    });
    expect(pulled).toMatchObject(debian);
    expect(seen[0]).toBe(seen[1]);
    expect(peers.tokens.asked.filter((scope) => scope === "repository:test/debian:pull").length).toBe(1);
    expect(relay.requests.filter(({ path }) => path.includes("/blobs/"))).toHaveLength(4);

    const small = await pull("test/small:1");
    const byDigest = await pull(`test/small@sha256:${small.source}`);
    await peers.push(`oci:${layout}:small`, "test/small:docker", "--format", "v2s2");
    await peers.push(`oci:${layout}:packed`, "test/packed:zstd", "--dest-compress-format", "zstd");
    const packed = await importOciLayout(layout, { store: mounted.store, tag: "packed", platform: amd64 });
    relay.requests.length = 0;
    expect((await pull("test/packed:zstd")).digest).toBe(packed.digest);
    const forms = [byDigest, await pull("test/small:docker")];
    expect(forms.map((form) => form.digest)).toEqual(forms.map(() => small.digest));
    expect(new Set([small, ...forms].map(({ source }) => source)).size).toBe(2);

    const index = writeIndex(layout, ["arm", "small"]);
    await peers.push(`oci:${layout}:${index}`, "test/small:many", "--all");
    expect((await pull("test/small:many")).source).toBe(small.source);
    const riscv = pull("test/small:many", { platform: { os: "linux", architecture: "riscv64", variant: "" } });
    expect(await sentence(riscv)).toMatch(/no image for linux\/riscv64: there is linux\/arm64\/v8, linux\/amd64: name an image/);

    const basic = `127.0.0.1:${peers.basic.port}`;
    const password = [{ registry: basic, ...login, identityToken: "" }];
    const withPassword = await importFromRegistry(`${basic}/test/small:1`, {
      store: mounted.store,
      credentials: password,
      platform: amd64,
    });
    expect(withPassword.digest).toBe(small.digest);
  });

  it("goes on where a connection broke, and tries again what was refused for the moment", async () => {
    const { digest } = await pull("test/small:1");
    // The config is the smaller blob; what is cut is the layer.
    harmInTurn(
      /blobs/,
      undefined,
      { cutAfter: 1000 },
      { status: 503 },
      { cutAfter: 70_000 },
      { status: 429, headers: { "retry-after": "0" } },
      { ignoreRange: true, cutAfter: 90_000 },
    );
    expect((await pull("test/small:1")).digest).toBe(digest);
    const ranges = relay.requests.filter(({ path }) => path.includes("/blobs/")).map(({ range }) => range);
    const starts = ranges.map((range) => Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0));
    // The config, the layer from its start; then each time from where it broke, which a refusal does not change.
    expect(starts.slice(0, 4)).toEqual([0, 0, 1000, 1000]);
    expect(starts.slice(4)).toEqual([starts[4], starts[4], expect.any(Number)]);
    expect([starts[4], starts[6]].every((start, index, all) => (start as number) > (all[index - 1] ?? 1000))).toBe(true);
    // Sent elsewhere for the layer, as clouds do: the token stays behind.
    const elsewhere = await startRelay(peers.basic.port);
    const blobs = join(layout, "blobs/sha256");
    elsewhere.harm = ({ path }) => ({ status: 200, body: readFileSync(join(blobs, path.slice(1))) });
    relay.requests.length = 0;
    relay.harm = ({ path }) => {
      const sha = /blobs\/sha256:(.*)$/.exec(path)?.[1];
      return sha ? { status: 307, headers: { location: `http://${elsewhere.host}/${sha}` } } : undefined;
    };
    expect((await pull("test/small:1")).digest).toBe(digest);
    expect(elsewhere.requests.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
    expect(relay.requests.at(-1)?.authorization).toMatch(/^Bearer /);
    await elsewhere[Symbol.asyncDispose]();

    harmInTurn(/manifests/, { status: 502 }, { cutAfter: 10 });
    expect((await pull("test/small:1")).digest).toBe(digest);
    harmInTurn(/manifests/, ...Array.from({ length: 6 }, () => ({ status: 500, headers: { "retry-after": "0" } })));
    expect(await sentence(pull("test/small:1"))).toMatch(/importing .*: the registry .* answered 500 .*: try again later/);
  });

  it("is refused, in a sentence that says why and what to do, when a byte of it has changed", async () => {
    harmInTurn(/blobs/, undefined, { alterAt: 50_000 });
    expect(await sentence(pull("test/small:1"))).toMatch(
      /^importing 127.*small:1: layer 1 \(sha256 [0-9a-f]{12}\): its content is not what its digest says/,
    );
    harmInTurn(/blobs/, { alterAt: 5 });
    expect(await sentence(pull("test/small:1"))).toMatch(/its config is not what its digest says/);
    harmInTurn(/manifests/, undefined, { alterAt: 5 }); // after the one that asks for a token
    expect(await sentence(pull("test/small:1"))).toMatch(
      /the manifest of image test\/small:1 is not what its digest says: something on the way/,
    );
    relay.harm = () => undefined;
    const blobs = join(layout, "blobs/sha256");
    const copy = join(folder, "altered");
    cpSync(layout, copy, { recursive: true });
    for (const blob of readdirSync(blobs)) {
      const bytes = readFileSync(join(blobs, blob));
      if (bytes.length < 300_000 || bytes.length > 500_000) continue; // the layer of "small"
      (bytes[bytes.length >> 1] as number) ^= 4;
      writeFileSync(join(copy, "blobs/sha256", blob), bytes);
    }
    expect(await sentence(importOciLayout(copy, { store: mounted.store, tag: "small", platform: amd64 }))).toMatch(
      /^importing the OCI layout .*: layer 1 \(sha256 [0-9a-f]{12}\): .*its content is not what its digest says/,
    );
  });

  it("that cannot be had is an error that names the remedy", async () => {
    relay.harm = () => undefined;
    expect(await sentence(pull("test/absent:1"))).toMatch(
      /the registry 127.* has no image test\/absent:1: check its name and its tag/,
    );
    expect(await sentence(pull("test/small:1", { credentials: [] }))).toMatch(
      /refuses image test\/small:1: it takes a login .* docker login 127.* or skopeo login/,
    );
    const wrong = [{ registry: relay.host, username: "reader", password: "guess", identityToken: "" }];
    expect(await sentence(pull("test/small:1", { credentials: wrong }))).toMatch(/reader is not allowed to read it/);
    expect(await sentence(importFromRegistry("127.0.0.1:9/a", { store: mounted.store, credentials: [] }))).toMatch(
      /127.0.0.1:9 cannot be reached: .*ECONNREFUSED.*: check the name, the network/,
    );
    const insecure = { store: mounted.store, credentials: [], insecure: [] };
    expect(await sentence(importFromRegistry("nobody.invalid/a", insecure))).toMatch(/nobody.invalid cannot be reached/);

    const cancelled = new AbortController();
    harmInTurn(/blobs/, undefined, { cutAfter: 1000 });
    const aborted = pull("test/small:1", {
      signal: cancelled.signal,
      progress: () => cancelled.abort(new Error("the user left")),
    });
    await expect(aborted).rejects.toThrow("the user left");
    expect(readdirSync(join(mounted.store.root, "tmp"))).toEqual([]);

    const tight = join(folder, "tight");
    mkdirSync(tight);
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tight);
    try {
      const full = openContentFolder(join(tight, "store"), { durable: false });
      relay.harm = () => undefined;
      expect(await sentence(pull("test/debian:1", { store: full }))).toMatch(
        /its layers have \d+ MB, and .* has 2 MB left: free some space/,
      );
      const layoutIntoFull = importOciLayout(layout, { store: full, tag: "debian", platform: amd64 });
      expect(await sentence(layoutIntoFull)).toMatch(
        /layer 1 [^:]*: entry "[^"]*": writing blob[^:]*: the disk is full: free some space/,
      );
      expect(readdirSync(join(full.root, "tmp"))).toEqual([]);
    } finally {
      run("umount", tight);
    }
  });

  it("comes through the proxy that the environment names", async () => {
    relay.harm = () => undefined;
    relay.requests.length = 0;
    vi.stubEnv("HTTP_PROXY", `http://${relay.host}`);
    vi.stubEnv("NO_PROXY", "");
    try {
      const name = "registry.example:5000";
      const proxied = [{ registry: name, ...login, identityToken: "" }];
      const { files } = await importFromRegistry(`${name}/test/small:1`, {
        store: mounted.store,
        credentials: proxied,
        insecure: [name],
        platform: amd64,
      });
      expect(files).toBe(2);
      expect(relay.requests[0]?.path).toBe(`http://${name}/v2/test/small/manifests/1`);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
