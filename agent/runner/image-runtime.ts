// ⑤ What an image has for processes in it: its configuration, its user, its interpreters; and how a runner starts over it.

import { HobError } from "../../base/errors.ts";
import { configOf, type ImageConfig } from "../../fusefs/image/config.ts";
import { type Manifest, sizeOf } from "../../fusefs/image/manifest.ts";
import type { ContainerUser } from "../container/spec.ts";
import { defaultPath, runnerCommand } from "./command.ts";
import { fileAt } from "./image-paths.ts";
import { userOf } from "./users.ts";

/** A Node binary of the agent's, for images that have none that is new enough. */
export interface AgentNode {
  path: string;
  bytes: number;
}

export interface ImageRuntime {
  config: ImageConfig;
  user: ContainerUser;
  /** A path in the image, or why there is none. */
  python: string | HobError;
  /** "" for the agent's own. */
  node: string | HobError;
  /** Whether it says itself what localhost is. Images of registries often leave that to who runs them. */
  knowsHosts: boolean;
}

export interface Launch {
  command: { args: readonly string[]; env: Readonly<Record<string, string>> };
  user: ContainerUser;
  /** What the image itself says of processes, for those that are no runner. */
  config: ImageConfig;
  shown: readonly { destination: string; source: string }[];
}

export const knowsHosts = (manifest: Manifest): boolean => {
  const hosts = fileAt(manifest, "/etc/hosts");
  return hosts !== undefined && sizeOf(manifest, hosts.inode) > 0;
};

const oldestPython = 9; // 3.9
const oldestNode = 24;

/** Where the agent's Node is in a container that needs it: the SDK's copy has a file there to mount it upon. */
export const hostsPoint = "/etc/hosts";
const nodePoint = "/hob/bin/node";

const folders = ({ env }: ImageConfig): string[] =>
  (env["PATH"] ?? defaultPath).split(":").filter((path) => path.startsWith("/"));

export function pythonOf(manifest: Manifest, config: ImageConfig = configOf(manifest)): string | HobError {
  for (const folder of folders(config)) {
    const found = fileAt(manifest, `${folder}/python3`);
    if (!found) continue;
    const minor = /python3\.(\d+)$/.exec(found.path)?.[1];
    if (minor === undefined || Number(minor) >= oldestPython) return `${folder}/python3`;
    const remedy = "begin with a newer base";
    return new HobError("precondition", `the image's python3 is 3.${minor}, and hob's runner needs 3.${oldestPython}`, {
      remedy,
    });
  }
  return new HobError("precondition", "the image has no python3", {
    remedy: 'add .apt_install("python3"), or take a base that has it',
  });
}

/** The loader and libraries that Node's own builds ask for. */
const loaders: Partial<Record<NodeJS.Architecture, string>> = {
  x64: "/lib64/ld-linux-x86-64.so.2",
  arm64: "/lib/ld-linux-aarch64.so.1",
};
const libraryFolders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib"];

function nodeOf(manifest: Manifest, config: ImageConfig, own: AgentNode, read: (digest: string) => string): string | HobError {
  for (const folder of folders(config)) {
    const found = fileAt(manifest, `${folder}/node`);
    if (!found) continue;
    if (sizeOf(manifest, found.inode) === own.bytes) return `${folder}/node`; // the same build, as in the host's image
    const header = fileAt(manifest, `${folder}/../include/node/node_version.h`);
    const major = header && /^#define NODE_MAJOR_VERSION (\d+)/m.exec(read(header.digest))?.[1];
    if (major && Number(major) >= oldestNode) return `${folder}/node`;
    break; // too old, or nobody knows
  }
  const loader = loaders[process.arch];
  const runs =
    loader !== undefined &&
    fileAt(manifest, loader) !== undefined &&
    libraryFolders.some((folder) => fileAt(manifest, `${folder}/libstdc++.so.6`) !== undefined);
  if (runs) return "";
  return new HobError("precondition", `the image has no Node ${oldestNode}, nor the libraries that the node's own needs`, {
    remedy: 'add .apt_install("libstdc++6"), or take a base with Node 24 or with glibc',
  });
}

/** Files of an image that `runtimeOf` reads: their digests, so that they can be fetched before. */
export function filesRead(manifest: Manifest): string[] {
  const headers = folders(configOf(manifest)).map((folder) => `${folder}/../include/node/node_version.h`);
  const found = ["/etc/passwd", "/etc/group", ...headers].map((path) => fileAt(manifest, path)?.digest);
  return [...new Set(found.filter((digest) => digest !== undefined))];
}

/** HobError `precondition` where the image's user is not known in it. */
export function runtimeOf(manifest: Manifest, own: AgentNode, read: (digest: string) => string): ImageRuntime {
  const config = configOf(manifest);
  const text = (path: string): string => {
    const found = fileAt(manifest, path);
    return found ? read(found.digest) : "";
  };
  return {
    config,
    user: userOf(config.user, text("/etc/passwd"), text("/etc/group")),
    python: pythonOf(manifest, config),
    node: nodeOf(manifest, config, own, read),
    knowsHosts: knowsHosts(manifest),
  };
}

/** How the runner of that language starts over an image. HobError `precondition` where the image lacks what it needs. */
export function launchOf(
  language: "python" | "typescript",
  runtime: ImageRuntime,
  { node, hostsFile }: { node: AgentNode; hostsFile: string },
): Launch {
  const { config, user } = runtime;
  const interpreter = language === "python" ? runtime.python : runtime.node;
  if (typeof interpreter !== "string") throw interpreter;
  const { args, env } = runnerCommand(language, config.env);
  return {
    ...{ user, config },
    command: { args: [interpreter || nodePoint, ...args.slice(1)], env },
    shown: [
      ...(interpreter === "" ? [{ destination: nodePoint, source: node.path }] : []),
      ...(runtime.knowsHosts ? [] : [{ destination: hostsPoint, source: hostsFile }]),
    ],
  };
}
