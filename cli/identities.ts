// ③⑤ Who this machine is to controls on the network: logins of its user, and the credentials of its agents, in files that only their user can read.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf, HobError, systemError } from "../base/errors.ts";
import { configFolder } from "../base/paths.ts";
import { type NetworkAddress, networkAddress, parseNetworkUrl } from "../proto/address.ts";
import { fetchAuthority } from "../proto/authority.ts";
import { type Identity, introduce } from "../proto/transport.ts";
import { openMembers } from "./members-client.ts";

const loginsFile = (): string => join(configFolder(), "pools.json");

/** Identities by address, hob://HOST:PORT. */
type Identities = Record<string, Identity>;

function isIdentity(value: unknown): value is Identity {
  const { authority, token } = (value ?? {}) as Partial<Identity>;
  return typeof authority === "string" && typeof token === "string";
}

function read(file: string): Identities {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof value === "object" && value !== null && Object.values(value).every(isIdentity)) return value as Identities;
    throw new HobError("corrupt", `${file} is not a list of logins`, { remedy: "remove it, and log in or join again" });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return {};
    throw systemError(`reading ${file}`, error);
  }
}

function write(file: string, identities: Identities): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(identities, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    throw systemError(`writing ${file}`, error);
  }
}

async function identityOf(url: NetworkAddress): Promise<Identity> {
  if (url.pin === "") {
    throw new HobError("usage", "a URL with a token needs the pin behind its address", {
      remedy: "copy the whole line that `hob pool token create` has printed",
    });
  }
  return { authority: await fetchAuthority(url), token: url.token };
}

/** Introduces this process to the control that is named by hob://HOST:PORT, with its saved login, or by a whole URL; resolves with its address. */
export async function introduceTo(named: string): Promise<string> {
  const url = parseNetworkUrl(named);
  const address = networkAddress(url);
  const identity = url.token === "" ? read(loginsFile())[address] : await identityOf(url);
  if (!identity) {
    throw new HobError("denied", `there is no login for ${address}`, {
      remedy: "`hob login URL`, with the URL of a token that `hob pool token create --scope client` has printed there",
    });
  }
  introduce(address, identity);
  return address;
}

/** Keeps the login, once control has let it in. */
export async function login(named: string): Promise<{ address: string; scope: string }> {
  const url = parseNetworkUrl(named);
  const address = networkAddress(url);
  const identity = await identityOf(url);
  introduce(address, identity);
  using members = openMembers(address);
  const { scope } = await members.whoAmI();
  if (scope !== "client" && scope !== "read-only") {
    throw new HobError("usage", `this token has the scope ${scope}`, {
      remedy: scope === "join" ? "it is for `hob agent --join URL`" : "ask for one of the scope client or read-only",
    });
  }
  write(loginsFile(), { ...read(loginsFile()), [address]: identity });
  return { address, scope };
}

/** Gives the join token of the URL for credentials of this node's own, kept in `file`, unless it has some for that control already. */
export async function joinPool(named: string, node: string, file: string): Promise<string> {
  const url = parseNetworkUrl(named);
  const address = networkAddress(url);
  if (read(file)[address]) return address;
  const identity = await identityOf(url);
  introduce(address, identity);
  using members = openMembers(address);
  write(file, { ...read(file), [address]: { ...identity, token: await members.join(node) } });
  return address;
}

/** Introduces this process as the agent whose credentials lie in `file`. */
export function introduceAgent(named: string, file: string): string {
  const address = networkAddress(parseNetworkUrl(named));
  const identity = read(file)[address];
  if (!identity) {
    throw new HobError("denied", `this node has not joined ${address}`, {
      remedy: "`hob agent --join URL`, with the URL of a token that `hob pool token create` has printed there",
    });
  }
  introduce(address, identity);
  return address;
}
