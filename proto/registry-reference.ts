// ②⑤ How an image in a registry is named: [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST], as docker reads it.

import { HobError } from "../base/errors.ts";

/** What a name without a host means: the only registry that hob knows by itself, because the grammar does. */
export const defaultRegistry = {
  name: "docker.io",
  /** Where it answers. */
  host: "registry-1.docker.io",
  /** Names without a folder lie here. */
  folder: "library",
  /** Other names for it: in references, and in docker's file of credentials. */
  aliases: ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"],
} as const;

export interface RegistryReference {
  /** Host, with its port if it has one: the name that credentials go by. */
  registry: string;
  repository: string;
  tag: string; // "" where the digest says it all
  digest: string; // sha256 in hex, or ""
}

const host =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;

function bad(text: string, what: string): HobError {
  return new HobError("usage", `"${text}" names no image: ${what}`, {
    remedy: "write it as HOST/NAME:TAG, or NAME:TAG for the default registry",
  });
}

/** One name for each registry. */
export function registryName(name: string): string {
  const lower = name.toLowerCase();
  return (defaultRegistry.aliases as readonly string[]).includes(lower) ? defaultRegistry.name : lower;
}

/** HobError `usage` says what is wrong with the text. */
export function parseReference(text: string): RegistryReference {
  const [, name = "", tag = "", digest = ""] = /^(.*?)(?::([^:/@]*))?(?:@(.*))?$/s.exec(text) ?? [];
  if (text.includes("@") && !/^sha256:[0-9a-f]{64}$/.test(digest)) throw bad(text, "its digest is no sha256");
  if (tag !== "" && !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(tag)) throw bad(text, `"${tag}" is no tag`);
  if (tag === "" && text.slice(name.length).startsWith(":")) throw bad(text, "its tag is empty");
  const cut = name.indexOf("/");
  const first = name.slice(0, Math.max(cut, 0));
  const hasHost = cut > 0 && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  if (hasHost && !host.test(first)) throw bad(text, `"${first}" is no host`);
  const path = hasHost ? name.slice(cut + 1) : name;
  if (path === "" || path.length > 255 || !path.split("/").every((part) => component.test(part))) {
    throw bad(text, `"${path}" is no path of lower-case names`);
  }
  const registry = registryName(hasHost ? first : defaultRegistry.name);
  const isPlain = registry === defaultRegistry.name && !path.includes("/");
  return {
    registry,
    repository: isPlain ? `${defaultRegistry.folder}/${path}` : path,
    tag: tag || (digest ? "" : "latest"),
    digest: digest.slice("sha256:".length),
  };
}
