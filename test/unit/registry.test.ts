// ②③⑤ What a registry's image is called, who may read it, and when it is asked again.

import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseChallenges } from "../../fusefs/image/import/registry-auth.ts";
import { retryDelayMs } from "../../fusefs/image/import/retry.ts";
import { registryCredentials } from "../../project/registry-credentials.ts";
import { parseReference } from "../../proto/registry-reference.ts";

const sha = "a".repeat(64);

describe("a reference", () => {
  it.each([
    ["debian", "docker.io", "library/debian", "latest", ""],
    ["debian:bookworm-slim", "docker.io", "library/debian", "bookworm-slim", ""],
    ["index.docker.io/team/app", "docker.io", "team/app", "latest", ""],
    ["localhost/app", "localhost", "app", "latest", ""],
    ["localhost:5000/a/b_c/d-e:v1.0", "localhost:5000", "a/b_c/d-e", "v1.0", ""],
    ["[::1]:5000/app:1", "[::1]:5000", "app", "1", ""],
    [`Registry.example/app@sha256:${sha}`, "registry.example", "app", "", sha],
    [`registry.example/app:1@sha256:${sha}`, "registry.example", "app", "1", sha],
  ])("%s is read as docker reads it", (text, registry, repository, tag, digest) => {
    expect(parseReference(text)).toEqual({ registry, repository, tag, digest });
  });

  it.each(["", ":tag", "app:", "App/x:1:2", "registry.example/App", "a//b", "app@sha256:short", "host:port/app", "../etc"])(
    "%j is refused with a word",
    (text) => {
      expect(() => parseReference(text)).toThrow(expect.objectContaining({ kind: "usage" }));
    },
  );
});

it("challenges are read with quotes, commas in quotes, and several schemes", () => {
  const header =
    'Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push", Basic realm="say \\"please\\"", Negotiate';
  expect(parseChallenges(header)).toEqual([
    { scheme: "bearer", parameters: { realm: "https://auth.example/token", service: "a, b", scope: "repository:x:pull,push" } },
    { scheme: "basic", parameters: { realm: 'say "please"' } },
    { scheme: "negotiate", parameters: {} },
  ]);
});

it("a registry that says how long to wait is waited for, up to half a minute", () => {
  expect([1, 2, 3].map((failures) => retryDelayMs(failures, 0))).toEqual([200, 400, 800]);
  expect(retryDelayMs(1, 1)).toBe(100);
  expect(retryDelayMs(1, 0, "7")).toBe(7000);
  expect(retryDelayMs(20, 0)).toBe(30_000);
  expect(retryDelayMs(1, 0, "Fri, 27 Nov 2026 14:00:00 GMT")).toBe(200);
});

describe("logins", async () => {
  const home = await mkdtemp(join(tmpdir(), "hob-logins-"));
  afterAll(() => rm(home, { recursive: true, force: true }));
  const env = { HOME: home, XDG_RUNTIME_DIR: join(home, "run"), PATH: `${home}:${process.env["PATH"]}` };
  const auth = (pair: string): { auth: string } => ({ auth: Buffer.from(pair).toString("base64") });

  async function writeLogins(path: string, content: object | string): Promise<void> {
    await mkdir(join(home, path, ".."), { recursive: true });
    await writeFile(join(home, path), typeof content === "string" ? content : JSON.stringify(content));
  }

  async function writeHelper(name: string, script: string): Promise<void> {
    await writeFile(join(home, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    await chmod(join(home, `docker-credential-${name}`), 0o755);
  }

  it("are found in docker's file and in skopeo's, for the registry or a part of it, and by helpers", async () => {
    await writeHelper(
      "vault",
      `read server; [ "$1" = get ] && echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"<token>\\",\\"Secret\\":\\"of $server\\"}"`,
    );
    await writeHelper("empty", "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1");
    await writeLogins(".docker/config.json", {
      auths: { "https://index.docker.io/v1/": {}, "plain.example": auth("me:pass:word"), "both.example": auth("docker:x") },
      credHelpers: { "helped.example": "vault", "unknown.example": "empty" },
      credsStore: "vault",
    });
    await writeLogins("run/containers/auth.json", { auths: { "both.example/team": auth("skopeo:x") } });
    const references = [
      "debian",
      "plain.example/a",
      "both.example/team/a",
      "helped.example/a:1",
      "unknown.example/a",
      "other.example/a",
    ];
    expect(await registryCredentials(references, env)).toEqual([
      { registry: "docker.io", username: "", password: "", identityToken: "of https://index.docker.io/v1/" },
      { registry: "plain.example", username: "me", password: "pass:word", identityToken: "" },
      { registry: "both.example", username: "skopeo", password: "x", identityToken: "" },
      { registry: "helped.example", username: "", password: "", identityToken: "of helped.example" },
      { registry: "unknown.example", username: "", password: "", identityToken: "of unknown.example" },
      { registry: "other.example", username: "", password: "", identityToken: "of other.example" }, // as docker does
    ]);
    expect(await registryCredentials(["both.example/else"], env)).toMatchObject([{ username: "docker" }]);
  });

  it("that cannot be read are an error that says what to do", async () => {
    await writeLogins(".docker/config.json", { credHelpers: { "a.example": "missing", "b.example": "broken" } });
    await writeHelper("broken", "echo 'the vault is locked' >&2; exit 3");
    await expect(registryCredentials(["a.example/x"], env)).rejects.toThrow(/docker-credential-missing .* not installed/);
    await expect(registryCredentials(["b.example/x"], env)).rejects.toThrow(/the vault is locked/);
    await writeLogins(".docker/config.json", { auths: { "c.example": {} }, credsStore: "rubbish" });
    await writeHelper("rubbish", "cat >/dev/null; echo 'secret=hunter2'");
    const rubbish = registryCredentials(["c.example/x"], env);
    await expect(rubbish).rejects.toThrow(/docker-credential-rubbish for the login of c.example: its answer is no login/);
    expect(await registryCredentials(["unlisted.example/x"], env)).toEqual([]);
    await writeLogins(".docker/config.json", "{");
    await expect(registryCredentials(["a.example/x"], env)).rejects.toMatchObject({ kind: "precondition", message: /no JSON/ });
    expect(await registryCredentials([], env)).toEqual([]);
  });
});
