// ⑤ What Debian's package database says belongs to the runtimes: a few packages, what they depend on, and the files of all these.

import { existsSync, readFileSync } from "node:fs";

const DATABASE = "/var/lib/dpkg";

/** Where the closure starts: an interpreter's world and the tools that scripts expect. Those not installed are left out. */
const startPackages = [
  ..."python3 python3-minimal ca-certificates openssl tzdata netbase base-files libc-bin".split(" "),
  ..."bash dash coreutils grep sed mawk gawk tar gzip bzip2 xz-utils findutils diffutils debianutils hostname procps".split(" "),
  ..."util-linux ncurses-base libstdc++6 libgcc-s1 libatomic1 libnss-myhostname".split(" "),
];

/** Dependencies that only configure a machine, or compile; their files are not needed to run anything. */
const isLeftOut = (name: string): boolean =>
  /-(dev|doc|dbg|common-doc)$|^(perl|gcc-|cpp|binutils|systemd|init|debconf|dpkg|apt|adduser|ucf|login|passwd|dbus|gnupg|gpg|packagekit|policykit)/.test(
    name,
  );

const isPythonLibrary = (name: string): boolean => /^python3-/.test(name) && !isLeftOut(name);

export interface Package {
  name: string;
  architecture: string;
  /** Each item is a list of alternatives: "mawk | gawk". */
  depends: string[][];
  provides: string[];
}

/** The installed packages of a dpkg status file. Pure. */
export function parseStatus(text: string): Package[] {
  const packages: Package[] = [];
  for (const stanza of text.split("\n\n")) {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
    if (!field("Status").endsWith(" installed")) continue;
    const list = (value: string) =>
      value.split(",").map((item) => item.split("|").map((one) => one.trim().split(/[ :(]/)[0] ?? ""));
    const depends = [field("Pre-Depends"), field("Depends")].filter(Boolean).flatMap(list);
    const provides = field("Provides") ? list(field("Provides")).flat() : [];
    packages.push({ name: field("Package"), architecture: field("Architecture"), depends, provides });
  }
  return packages;
}

/** The packages that `start` reaches by Depends and Pre-Depends, sorted by name. Pure. */
export function dependencyClosure(packages: readonly Package[], start: readonly string[]): Package[] {
  const byName = new Map<string, Package>();
  for (const found of packages) for (const virtual of found.provides) byName.set(virtual, found);
  for (const found of packages) byName.set(found.name, found);
  const reached = new Map<string, Package>();
  const queue = start.flatMap((name) => byName.get(name) ?? []);
  for (let next = queue.pop(); next; next = queue.pop()) {
    if (reached.has(next.name)) continue;
    reached.set(next.name, next);
    for (const alternatives of next.depends) {
      const chosen = alternatives.flatMap((name) => byName.get(name) ?? [])[0];
      if (chosen && !isLeftOut(chosen.name)) queue.push(chosen);
    }
  }
  return [...reached.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Where files really lie that another package has diverted: "original, diverted to, by", three lines each. Pure. */
export function parseDiversions(text: string): Map<string, { to: string; by: string }> {
  const lines = text.split("\n");
  const diversions = new Map<string, { to: string; by: string }>();
  for (let i = 0; i + 2 < lines.length; i += 3) {
    diversions.set(lines[i] as string, { to: lines[i + 1] as string, by: lines[i + 2] as string });
  }
  return diversions;
}

export const hasDpkg = (): boolean => existsSync(`${DATABASE}/status`);

/** Every path of the runtimes' packages, as the database lists them: folders and what the rules refuse among them. */
export function dpkgPaths(): string[] {
  const packages = parseStatus(readFileSync(`${DATABASE}/status`, "utf8"));
  const python = packages.map(({ name }) => name).filter(isPythonLibrary);
  const diversions = parseDiversions(existsSync(`${DATABASE}/diversions`) ? readFileSync(`${DATABASE}/diversions`, "utf8") : "");
  return dependencyClosure(packages, [...startPackages, ...python]).flatMap(({ name, architecture }) => {
    const list = [`${name}:${architecture}`, name]
      .map((file) => `${DATABASE}/info/${file}.list`)
      .find((file) => existsSync(file));
    const paths = list ? readFileSync(list, "utf8").split("\n").filter(Boolean) : [];
    return paths.map((path) => {
      const diversion = diversions.get(path);
      return diversion && diversion.by !== name ? diversion.to : path;
    });
  });
}
