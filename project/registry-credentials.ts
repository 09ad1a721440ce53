// ③ Logins for registries, from the files that docker and skopeo keep and the helpers that those name. Found where the user is; they travel in
// memory only.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import type { RegistryCredential } from "../proto/gen/hob/v1/common.ts";
import { defaultRegistry, parseReference, registryName } from "../proto/registry-reference.ts";

const run = promisify(execFile);
const helperMs = 20_000;

/** containers-auth.json(5) and docker's config.json have the same shape. */
interface LoginFile {
  path: string;
  auths: Record<string, { auth?: string; identitytoken?: string; username?: string; password?: string }>;
  credHelpers: Record<string, string>;
  credsStore: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** In the order in which skopeo and docker look; the first that has a login for the registry counts. */
function loginFiles(env: Environment): string[] {
  const home = env["HOME"] || homedir();
  const runtime = env["XDG_RUNTIME_DIR"]
    ? join(env["XDG_RUNTIME_DIR"], "containers")
    : `/run/containers/${process.getuid?.() ?? 0}`;
  const candidates = [
    env["REGISTRY_AUTH_FILE"],
    join(runtime, "auth.json"),
    join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "containers/auth.json"),
    join(env["DOCKER_CONFIG"] || join(home, ".docker"), "config.json"),
  ];
  return candidates.filter((path) => path !== undefined && path !== "") as string[];
}

async function readLogins(path: string): Promise<LoginFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw systemError(`reading the logins in ${path}`, error);
  }
  try {
    const { auths, credHelpers, credsStore } = JSON.parse(text) as { [Key in keyof LoginFile]?: LoginFile[Key] | null };
    return { path, auths: auths ?? {}, credHelpers: credHelpers ?? {}, credsStore: credsStore ?? "" };
  } catch (error) {
    throw new HobError("precondition", `reading the logins in ${path}: it is no JSON`, {
      cause: error,
      remedy: "mend or move the file, then log in again",
    });
  }
}

/** "https://HOST/v1/" and "HOST" are the same registry; "HOST/folder" is a part of it. */
function keyName(key: string): string {
  const [host = "", ...folders] = key.replace(/^https?:\/\//, "").split("/");
  const path = folders.filter((folder) => folder !== "" && !/^v[12]$/.test(folder)).join("/");
  return path ? `${registryName(host)}/${path}` : registryName(host);
}

/** The most special key that covers the repository. */
function lookUp<Value>(entries: Record<string, Value>, registry: string, repository: string): Value | undefined {
  const names = `${registry}/${repository}`.split("/");
  for (let count = names.length; count > 0; count--) {
    const wanted = names.slice(0, count).join("/");
    for (const [key, value] of Object.entries(entries)) if (keyName(key) === wanted) return value;
  }
  return undefined;
}

/** What a helper answers is never part of an error: it may be a password. */
function loginSaid(text: string): { Username: string; Secret: string } {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    said = undefined; // said below
  }
  const { Username = "", Secret = "" } = (said ?? {}) as Record<string, unknown>;
  if (said && typeof Username === "string" && typeof Secret === "string") return { Username, Secret };
  throw new Error("its answer is no login");
}

/** docker-credential-helpers, "get": the server on stdin, the login as JSON on stdout. */
async function askHelper(
  name: string,
  registry: string,
  { path }: LoginFile,
  env: Environment,
): Promise<RegistryCredential | undefined> {
  const program = `docker-credential-${name}`;
  // Helpers keep the default registry by the key under which docker has always put it.
  const server = registry === defaultRegistry.name ? `https://${defaultRegistry.aliases[0]}/v1/` : registry;
  try {
    const asked = run(program, ["get"], { timeout: helperMs, env: { ...env } as NodeJS.ProcessEnv, windowsHide: true });
    asked.child.stdin?.on("error", () => {}); // one that ends without reading says why by its exit
    asked.child.stdin?.end(server);
    const { Username, Secret } = loginSaid((await asked).stdout);
    if (Secret === "") return undefined;
    if (Username === "<token>") return { registry, username: "", password: "", identityToken: Secret };
    return { registry, username: Username, password: Secret, identityToken: "" };
  } catch (error) {
    const said = `${(error as { stdout?: string }).stdout ?? ""}${(error as { stderr?: string }).stderr ?? ""}`.trim();
    if (/not found in native keychain|credentials not found/i.test(said)) return undefined;
    const reason = errnoOf(error) === "ENOENT" ? "it is not installed" : said || (error as Error).message;
    throw new HobError("precondition", `asking ${program} for the login of ${registry}: ${reason}`, {
      cause: error,
      remedy: `mend it, or take it out of ${path} and log in again`,
    });
  }
}

function plainLogin(registry: string, entry: LoginFile["auths"][string]): RegistryCredential | undefined {
  const pair = Buffer.from(entry.auth ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const cut = pair.indexOf(":");
  const username = cut > 0 ? pair.slice(0, cut) : (entry.username ?? "");
  const password = cut > 0 ? pair.slice(cut + 1) : (entry.password ?? "");
  const identityToken = entry.identitytoken ?? "";
  return username || identityToken ? { registry, username, password, identityToken } : undefined;
}

/**
 * The logins for the registries that these references name, as far as there are any. HobError `precondition` for a file or a helper
 * that is there and does not work.
 */
export async function registryCredentials(
  references: readonly string[],
  env: Environment = process.env,
): Promise<RegistryCredential[]> {
  if (references.length === 0) return [];
  const files: LoginFile[] = [];
  for (const path of loginFiles(env)) {
    const file = await readLogins(path);
    if (file) files.push(file);
  }
  const found = new Map<string, RegistryCredential>();
  for (const { registry, repository } of references.map(parseReference)) {
    if (found.has(registry)) continue;
    const credential = await findLogin(files, registry, repository, env);
    if (credential) found.set(registry, credential);
  }
  return [...found.values()];
}

async function findLogin(files: readonly LoginFile[], registry: string, repository: string, env: Environment) {
  for (const file of files) {
    const own = lookUp(file.credHelpers, registry, repository);
    const entry = lookUp(file.auths, registry, repository);
    if (own) {
      const credential = await askHelper(own, registry, file, env);
      if (credential) return credential;
    }
    const plain = entry && plainLogin(registry, entry);
    if (plain) return plain;
    if (file.credsStore) {
      // One for all registries is asked whether the file lists this one or not; of one that it does not list it may know nothing, and say so in any words.
      const asked = askHelper(file.credsStore, registry, file, env);
      const credential = await (entry ? asked : asked.catch(() => undefined));
      if (credential) return credential;
    }
  }
  return undefined;
}
