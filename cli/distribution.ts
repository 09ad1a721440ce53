// ⑧ Which package manager this machine has, so that a remedy can be typed as it stands.

import { readFileSync } from "node:fs";

type Manager = "apt" | "dnf" | "pacman" | "zypper" | "apk";

const commands: Record<Manager, string> = {
  apt: "apt-get install -y",
  dnf: "dnf install -y",
  pacman: "pacman -S --noconfirm",
  zypper: "zypper install -y",
  apk: "apk add",
};

/** What hob needs from a distribution, where the package's name differs from its own. */
const packages: Record<string, Partial<Record<Manager, string>>> = {
  runc: {},
  "util-linux": {},
  python3: { pacman: "python" },
  kmod: {},
  nftables: {},
};

const families: [RegExp, Manager][] = [
  [/\b(debian|ubuntu)\b/, "apt"],
  [/\b(fedora|rhel|centos|rocky|almalinux|amzn)\b/, "dnf"],
  [/\b(arch|manjaro)\b/, "pacman"],
  [/\b(suse|opensuse\S*|sles)\b/, "zypper"],
  [/\balpine\b/, "apk"],
];

/** The package manager that an os-release text (man 5 os-release) tells of, or undefined. */
export function managerOf(osRelease: string): Manager | undefined {
  const value = (key: string): string => new RegExp(`^${key}="?([^"\n]*)"?$`, "m").exec(osRelease)?.[1] ?? "";
  const name = `${value("ID")} ${value("ID_LIKE")}`.toLowerCase();
  return families.find(([pattern]) => pattern.test(name))?.[1];
}

/** "install it with `apt-get install -y runc`", or the same without a command on an unknown distribution. */
export function installSentence(name: keyof typeof packages & string, manager: Manager | undefined): string {
  if (!manager) return `install the package ${name} of your distribution`;
  return `install it with \`${commands[manager]} ${packages[name]?.[manager] ?? name}\``;
}

export function thisManager(): Manager | undefined {
  for (const file of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      return managerOf(readFileSync(file, "utf8"));
    } catch {
      // One of the two is enough, and without both the remedy just names the package.
    }
  }
  return undefined;
}
