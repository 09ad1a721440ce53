// ⑤ What an image says of the processes in it: a section of its manifest, so that one digest says all.

import { bytesOfText, textOfBytes } from "../../base/byte-text.ts";
import { HobError } from "../../base/errors.ts";
import type { Manifest } from "./manifest.ts";

/** "" is none. Texts of bytes (base/byte-text.ts). */
export interface ImageConfig {
  env: Readonly<Record<string, string>>;
  workdir: string;
  user: string;
}

const bad = (what: string): HobError => new HobError("usage", `writing a manifest: ${what}`);

/** User, working folder and KEY=VALUE sorted by key, each with a NUL behind it; nothing where nothing is set. */
export function writeConfig(config: ImageConfig | undefined): Buffer {
  if (!config) return Buffer.alloc(0);
  const env = Object.entries(config.env).map(([key, value]) => ({ key: bytesOfText(key), text: `${key}=${value}` }));
  if (env.length === 0 && config.workdir === "" && config.user === "") return Buffer.alloc(0);
  for (const { key, text } of env) {
    if (key.length === 0 || key.includes("=")) throw bad(`its environment has ${JSON.stringify(text)}`);
  }
  env.sort((a, b) => Buffer.compare(a.key, b.key));
  const texts = [config.user, config.workdir, ...env.map(({ text }) => text)];
  const odd = texts.find((text) => text.includes("\0"));
  if (odd !== undefined) throw bad(`its configuration has a NUL in ${JSON.stringify(odd)}`);
  return bytesOfText(`${texts.join("\0")}\0`);
}

/** The texts of the section; each has a NUL behind it. */
function textsOf(bytes: Buffer): Buffer[] {
  const texts: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    texts.push(bytes.subarray(from, end < 0 ? bytes.length : end));
    from = end < 0 ? bytes.length : end + 1;
  }
  return texts;
}

/** What is wrong with a manifest's section, or "". */
export function configFault({ config }: Manifest): string {
  if (config.length === 0) return "";
  const [user, workdir, ...env] = textsOf(config);
  if (config.at(-1) !== 0 || !user || !workdir) return "its configuration is cut off";
  if (env.length === 0 && user.length === 0 && workdir.length === 0) return "its configuration says nothing";
  let before: Buffer | undefined;
  for (const text of env) {
    const cut = text.indexOf("=");
    if (cut < 1) return "its environment has something without a name";
    const key = text.subarray(0, cut);
    if (before && Buffer.compare(before, key) >= 0) return "its environment is not in order";
    before = key;
  }
  return "";
}

/** The configuration of an image; of one that has none, nothing is set. */
export function configOf({ config }: Manifest): ImageConfig {
  const [user = "", workdir = "", ...env] = textsOf(config).map(textOfBytes);
  const pairs = env.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]);
  return { user, workdir, env: Object.fromEntries(pairs) as Record<string, string> };
}
