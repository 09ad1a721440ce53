// ⑤ What a build's container finds at /hob: the node's mirrors for apt, pip and npm, its certificates, and a place for Node and npm.

import { chownSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { systemError } from "../../base/errors.ts";
import { type AptSource, sourceLine } from "./apt-sources.ts";
import type { NodeConfig } from "./node-config.ts";

/** Where the kit is inside the container. */
export const kitPoint = "/hob";

export interface Kit {
  folder: string;
  /** Variables for every step. */
  env: Readonly<Record<string, string>>;
  /** Lines of apt.conf(5), for an apt that sees the kit at `folder`. */
  aptOptions: readonly string[];
  sources: readonly string[];
}

export interface KitWish {
  folder: string;
  /** Where those who use it see it. */
  seenAt: string;
  config: NodeConfig;
  /** Of apt; none: the image's own hold. */
  sources: readonly AptSource[];
  /** The agent's, for builds: "http://ADDRESS:PORT"; "" for none. */
  proxy: string;
  /** Owner on the node of what is secret: root of the container. */
  uid: number;
}

const keyEndings = new Set([".gpg", ".asc"]);

/** Copies the node's keys; says for each source which is its own. */
function writeKeys({ folder, seenAt, config, sources }: KitWish): (source: AptSource) => string {
  mkdirSync(join(folder, "apt/keys"), { recursive: true });
  const names = new Map<string, string>();
  for (const [index, path] of config.apt.keys.entries()) {
    if (!keyEndings.has(extname(path))) continue;
    const name = `${index}-${basename(path)}`;
    copyFileSync(path, join(folder, "apt/keys", name));
    names.set(path, join(seenAt, "apt/keys", name));
  }
  const inline = [...new Set(sources.map(({ signedBy }) => signedBy).filter((key) => key.includes("BEGIN PGP")))];
  for (const [index, key] of inline.entries()) {
    const name = `inline-${index}.asc`;
    writeFileSync(join(folder, "apt/keys", name), `${key}\n`);
    names.set(key, join(seenAt, "apt/keys", name));
  }
  return ({ signedBy }) => names.get(signedBy) ?? "";
}

/** Writes the kit into `folder`, which is there. */
export function writeKit(wish: KitWish): Kit {
  const { folder, seenAt, config, proxy, uid } = wish;
  const secret = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    chownSync(join(folder, name), uid, uid);
    return join(seenAt, name);
  };
  try {
    const keyOf = writeKeys(wish);
    const sources = wish.sources.map((source) => sourceLine(source, keyOf(source)));
    const certificates = config.certificates ? join(seenAt, "certificates.pem") : undefined;
    if (config.certificates) copyFileSync(config.certificates, join(folder, "certificates.pem"));
    const aptOptions = [
      ...config.apt.acquire,
      `Dir::Etc::netrc "${secret("apt/auth.conf", config.apt.auth)}";`,
      ...(certificates ? [`Acquire::https::CAInfo "${certificates}";`] : []),
    ];
    const ownSources = [
      `Dir::Etc::sourcelist "${join(seenAt, "apt/sources.list")}";`,
      'Dir::Etc::sourceparts "/dev/null";',
      `Dir::Etc::trustedparts "${join(seenAt, "apt/keys")}";`,
    ];
    // As root throughout: what is secret of the kit is root's, and the container holds nobody else.
    ownSources.push('APT::Sandbox::User "root";');
    writeFileSync(join(folder, "apt/sources.list"), `${sources.join("\n")}\n`);
    writeFileSync(join(folder, "apt/apt.conf"), `${[...aptOptions, ...(sources.length > 0 ? ownSources : [])].join("\n")}\n`);
    for (const name of ["bin", "npm"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "bin/node"), "", { mode: 0o755 }); // what Node is mounted upon
    const env: Record<string, string> = {
      APT_CONFIG: join(seenAt, "apt/apt.conf"),
      NPM_CONFIG_USERCONFIG: secret("npmrc", `${config.npm.lines.join("\n")}\n`),
      ...config.pip,
      ...(certificates ? { PIP_CERT: certificates, NODE_EXTRA_CA_CERTS: certificates, SSL_CERT_FILE: certificates } : {}),
    };
    for (const name of proxy ? ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] : []) env[name] = proxy;
    if (proxy) env["no_proxy"] = env["NO_PROXY"] = "localhost,127.0.0.1,::1";
    return { folder, env, aptOptions, sources };
  } catch (error) {
    throw systemError("writing what a build needs to know of this node", error);
  }
}
