// ⑤ What each kind of step runs, as a script for sh -e. Pure.

import type { ImageStep } from "../../proto/gen/hob/v1/common.ts";
import { kitPoint } from "./kit.ts";

export interface Script {
  text: string;
  /** As root, whatever the image's user is: packages are the system's. */
  asRoot: boolean;
  env: Readonly<Record<string, string>>;
}

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
const quoted = (words: readonly string[]): string => words.map(quote).join(" ");

const apt = "apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0";

const aptInstall = (packages: string): string => `apt-get -q update
${apt} install ${packages}
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
`;

/** The remedy of a missing program is printed last, so that it ends the failure's message. */
const need = (test: string, remedy: string): string => `${test} || { echo ${quote(remedy)} >&2; exit 127; }\n`;

const hasApt = "command -v apt-get >/dev/null 2>&1";
const hasPip = "python3 -m pip --version >/dev/null 2>&1";

/** Where npm puts packages; Node finds them from every folder by /node_modules. */
const npmModules = "/usr/local/lib/node_modules";
const nodeTools = `${kitPoint}/bin`;
const npmCli = `${kitPoint}/npm/bin/npm-cli.js`;

const scripts: Record<"apt" | "pip" | "npm" | "run", (words: readonly string[]) => Script> = {
  apt: (words) => ({
    text:
      need(hasApt, "E: the image has no apt-get: begin with Image.debian(…), or use its own package manager with run") +
      aptInstall(quoted(words)),
    asRoot: true,
    env: { DEBIAN_FRONTEND: "noninteractive" },
  }),
  pip: (words) => ({
    text:
      need("command -v python3 >/dev/null", 'E: the image has no python3: add .apt_install("python3") before') +
      `if ! ${hasPip}; then\n` +
      need(hasApt, "E: the image has no pip and no apt-get to install it with: install pip in a run step before") +
      `${aptInstall("python3-pip")}fi\n` +
      `python3 -m pip install --no-cache-dir ${quoted(words)}\n`,
    asRoot: true,
    // Debian's own Python refuses pip otherwise (PEP 668): the image belongs to nobody else who would miss its packages.
    env: { DEBIAN_FRONTEND: "noninteractive", PIP_BREAK_SYSTEM_PACKAGES: "1", PIP_ROOT_USER_ACTION: "ignore", ...quietPip },
  }),
  npm: (words) => ({
    text:
      // The image's own npm where it has one, with its own Node; else the node's npm, on the agent's Node.
      `if command -v npm >/dev/null 2>&1; then npm=npm\n` +
      `elif [ -f ${npmCli} ]; then npm="node ${npmCli}"; PATH="$PATH:${nodeTools}"\n` +
      `else echo 'E: neither the image nor this node has npm: add .apt_install("npm") before' >&2; exit 127; fi\n` +
      `$npm install --global --prefix /usr/local --no-audit --no-fund --no-update-notifier --cache /tmp/npm ${quoted(words)}\n` +
      `[ -e /node_modules ] || ln -s ${npmModules.slice(1)} /node_modules\n`,
    asRoot: true,
    env: {},
  }),
  run: ([command = ""]) => ({ text: command, asRoot: false, env: {} }),
};

const quietPip = { PIP_DISABLE_PIP_VERSION_CHECK: "1", PIP_NO_INPUT: "1", PIP_PROGRESS_BAR: "off" };

/** Undefined for a step that needs no container. */
export function scriptOf(step: ImageStep): Script | undefined {
  const make = (scripts as Partial<Record<string, (words: readonly string[]) => Script>>)[step.kind];
  return make?.(step.arguments);
}
