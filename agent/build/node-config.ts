// ⑤ How this node gets packages: its mirrors, indexes, proxies and certificates, from the files and variables of the tools themselves.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, extname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, HobError, systemError } from "../../base/errors.ts";
import type { ConfiguredHost, Reach, Upstream } from "../network/reach.ts";
import { upstreamFor } from "../network/reach.ts";
import { type AptSource, parseAptConfig, parseDeb822, parseSourcesList } from "./apt-sources.ts";
import { npmLines, pipVariables } from "./package-config.ts";

export interface NodeConfig {
  apt: {
    sources: readonly AptSource[];
    /** "bookworm" where the node itself is Debian, else "". */
    codename: string;
    /** What it says about fetching, as lines of apt.conf(5). */
    acquire: readonly string[];
    /** Its own proxies, likewise. */
    proxies: readonly string[];
    /** Files with keys that it trusts. */
    keys: readonly string[];
    /** apt_auth.conf(5) */
    auth: string;
  };
  /** PIP_INDEX_URL and its like. */
  pip: Readonly<Record<string, string>>;
  npm: { lines: readonly string[]; folder: string | undefined };
  /** A file of certificates that the node trusts. */
  certificates: string | undefined;
  reach: Reach;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES") return "";
    throw systemError(`reading ${path}`, error);
  }
}

function filesOf(folder: string, ...endings: string[]): string[] {
  try {
    const names = readdirSync(folder).filter((name) => endings.includes(extname(name)));
    return names.sort().map((name) => join(folder, name));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw systemError(`reading ${folder}`, error);
  }
}

async function aptConfig(): Promise<Map<string, string>> {
  try {
    return parseAptConfig((await promisify(execFile)("apt-config", ["dump"])).stdout);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Map(); // a node without apt
    throw systemError("asking apt-config for the node's configuration", error);
  }
}

/** "http://NAME:PASSWORD@HOST:PORT", as in http_proxy. */
function parseUpstream(text: string | undefined): Upstream | undefined {
  if (!text || text === "DIRECT" || text === "false") return undefined;
  const spelled = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(spelled) || !spelled.toLowerCase().startsWith("http://")) {
    throw new HobError("precondition", "this node's proxy for packages is not of the form http://HOST:PORT", {
      remedy: "builds can go through an HTTP proxy only: set http_proxy, or apt's Acquire::http::Proxy, so",
    });
  }
  const { hostname, port, username, password } = new URL(spelled);
  const credentials = username === "" ? "" : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { host: hostname, port: Number(port) || 80, credentials };
}

const environment = (name: string): string | undefined => process.env[name] ?? process.env[name.toUpperCase()];

function nodeProxies(): Reach["proxies"] {
  return {
    http: parseUpstream(environment("http_proxy")),
    https: parseUpstream(environment("https_proxy")),
    except: (environment("no_proxy") ?? "").split(/[\s,]+/).filter(Boolean),
  };
}

/** Every http and https address in these texts. */
function hostsIn(texts: readonly string[], upstream: (url: URL) => Upstream | undefined): ConfiguredHost[] {
  const addresses = texts.flatMap((text) => text.match(/https?:\/\/[^\s"']+/g) ?? []).filter((address) => URL.canParse(address));
  return addresses.map((address) => {
    const url = new URL(address);
    const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
    return { host: url.hostname, port, upstream: upstream(url) };
  });
}

const certificateFiles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/** npm as it is installed here: a folder that runs wherever there is a Node, or undefined. */
function npmFolder(): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    try {
      const cli = realpathSync(join(folder, "npm"));
      const root = dirname(dirname(cli)); // …/npm/bin/npm-cli.js
      if (readIfThere(join(root, "node_modules/semver/package.json")) !== "") return root; // else spread over the system
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw systemError("looking for npm", error);
    }
  }
  return undefined;
}

/** Where pip and npm go by themselves. */
const defaultIndexes = ["https://pypi.org", "https://files.pythonhosted.org", "https://registry.npmjs.org"];

const aptFolder = "/etc/apt";
/** About fetching, and right in a container too: no proxies, which it has from us, and no files of the node. */
const passedOn =
  /^Acquire::(Check-|Retries|Languages|ForceIPv4|Allow|https?::(Timeout|Pipeline-Depth|No-Cache|User-Agent|Verify-))/;

const lines = (config: ReadonlyMap<string, string>, wanted: RegExp): string[] =>
  [...config].filter(([key, value]) => wanted.test(key) && value !== "").map(([key, value]) => `${key} "${value}";`);

export async function readNodeConfig(): Promise<NodeConfig> {
  const proxies = nodeProxies();
  const config = await aptConfig();
  const release = readIfThere("/etc/os-release");
  const sources = [
    ...[join(aptFolder, "sources.list"), ...filesOf(join(aptFolder, "sources.list.d"), ".list")]
      .map(readIfThere)
      .flatMap(parseSourcesList),
    ...filesOf(join(aptFolder, "sources.list.d"), ".sources").map(readIfThere).flatMap(parseDeb822),
  ];
  const aptProxy = ({ protocol, hostname }: URL): Upstream | undefined => {
    const scheme = protocol === "https:" ? "https" : "http";
    const own = config.get(`Acquire::${scheme}::Proxy::${hostname}`) ?? config.get(`Acquire::${scheme}::Proxy`);
    return own ? parseUpstream(own) : upstreamFor({ proxies }, { scheme, host: hostname, port: 0 });
  };
  const general = ({ protocol, hostname }: URL): Upstream | undefined =>
    upstreamFor({ proxies }, { scheme: protocol === "https:" ? "https" : "http", host: hostname, port: 0 });
  const pip = pipVariables(
    ["/etc/pip.conf", join(homedir(), ".pip/pip.conf"), join(homedir(), ".config/pip/pip.conf")].map(readIfThere),
    process.env,
  );
  const npm = npmFolder();
  const npmFiles = npm ? [join(npm, "npmrc"), join(npm, "../../../etc/npmrc")] : [];
  const npmrc = npmLines([...npmFiles, "/etc/npmrc", join(homedir(), ".npmrc")].map(readIfThere), process.env);
  return {
    apt: {
      sources,
      codename: /^ID=debian$/m.test(release) ? (/^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] ?? "") : "",
      acquire: lines(config, passedOn),
      proxies: lines(config, /^Acquire::https?::Proxy/),
      keys: [
        ...filesOf(join(aptFolder, "trusted.gpg.d"), ".gpg", ".asc"),
        ...new Set(sources.flatMap(({ signedBy }) => (signedBy.startsWith("/") ? signedBy.split(/[\s,]+/) : []))),
      ],
      auth: [join(aptFolder, "auth.conf"), ...filesOf(join(aptFolder, "auth.conf.d"), ".conf")].map(readIfThere).join("\n"),
    },
    pip,
    npm: { lines: npmrc, folder: npm },
    certificates: certificateFiles.find((file) => readIfThere(file) !== ""),
    reach: {
      configured: [
        ...hostsIn(
          sources.map(({ uri }) => uri),
          aptProxy,
        ),
        ...hostsIn([...Object.values(pip), ...npmrc.filter((line) => line.includes("registry="))], general),
        ...hostsIn(defaultIndexes, general),
      ],
      proxies,
    },
  };
}
