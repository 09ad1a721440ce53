// ⑤ The steps that bring a machine into the pool: reach it, bring hob there, see what it lacks, join, start the agent, and wait for it.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createGzip } from "node:zlib";
import { HobError } from "../../base/errors.ts";
import { installRoot } from "../../base/install.ts";
import { quoted, type Remote } from "./remote.ts";

export interface Adding {
  remote: Remote;
  target: string;
  /** Folder there. */
  into: string;
  build: string;
  /** Makes a join token and answers with its URL. */
  url(): Promise<string>;
  address: string;
}

interface Facts {
  uid: number;
  system: string;
  machine: string;
  name: string;
  build: string;
  systemd: boolean;
}

/** What an agent runs on; everything else of this installation stays here. */
const shipped = ["bin", "dist", "sdk", "package.json", "package-lock.json", "scripts/setup.sh"];
const shippedPackages = ["node", "koffi", "@koromix"];

const folders = "XDG_STATE_HOME=/var/lib XDG_CACHE_HOME=/var/cache HOB_NO_SETUP=1";
const unitName = "hob-node.service";

/** In Node's words, what `uname -m` says. */
const machines: Record<string, string> = { x64: "x86_64", arm64: "aarch64" };

const asRoot = (uid: number, script: string): string => (uid === 0 ? script : `sudo -n sh -c ${quoted(script)}`);

export async function look({ remote, target, into }: Adding): Promise<Facts> {
  const script = `echo uid=$(id -u); echo system=$(uname -s); echo machine=$(uname -m); echo name=$(uname -n); echo build=$(cat ${quoted(`${into}/dist/build-id`)} 2>/dev/null); [ -d /run/systemd/system ] && echo systemd=yes; [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null && echo root=yes; true`;
  const { stdout } = await remote.run(script);
  const said = new Map(stdout.split("\n").map((line) => line.split("=", 2) as [string, string]));
  const facts = {
    uid: Number(said.get("uid")),
    system: said.get("system") ?? "",
    machine: said.get("machine") ?? "",
    name: said.get("name") ?? "",
    build: said.get("build") ?? "",
    systemd: said.get("systemd") === "yes",
  };
  if (facts.system !== "Linux") {
    throw new HobError("precondition", `${target} runs ${facts.system || "no system that says its name"}`, {
      remedy: "a node needs Linux",
    });
  }
  if (said.get("root") !== "yes") {
    throw new HobError("precondition", `${target}: an agent needs root, and sudo asks for a password there`, {
      remedy: "name root@HOST, or allow that user sudo without a password",
    });
  }
  return facts;
}

export async function bring({ remote, target, into, build }: Adding, { uid, machine, build: theirs }: Facts): Promise<string> {
  if (theirs === build) return `hob ${build} is there already`;
  const same = machines[process.arch] ?? process.arch;
  if (machine !== same) {
    throw new HobError("precondition", `${target} is a ${machine} machine, this one ${same}: this hob does not run there`, {
      remedy: `put a hob of your own into ${into} there, run bin/hob once, and try again`,
    });
  }
  const packages = shippedPackages.map((name) => `node_modules/${name}`).filter((path) => existsSync(join(installRoot, path)));
  const paths = [...shipped.filter((path) => existsSync(join(installRoot, path))), ...packages];
  const tar = spawn("tar", ["-C", installRoot, "--exclude=*.map", "-cf", "-", ...paths], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const next = quoted(`${into}.next`);
  const unpack = `rm -rf ${next} && mkdir -p ${next} && tar -C ${next} -xzf - && rm -rf ${quoted(into)} && mv ${next} ${quoted(into)}`;
  const { code, stderr } = await remote.run(asRoot(uid, unpack), tar.stdout.pipe(createGzip({ level: 1 })));
  if (code !== 0) {
    throw new HobError("unavailable", `copying hob to ${target}:${into}: ${stderr.trim() || `tar exited ${code}`}`, {
      remedy: "see that there is room, 160 MB, or choose another folder with --into",
    });
  }
  return `hob ${build} was copied to ${into}`;
}

export async function examine({ remote, target, into }: Adding, { uid }: Facts): Promise<string> {
  const { stdout, stderr } = await remote.run(asRoot(uid, `${folders} ${quoted(`${into}/bin/hob`)} doctor --json`));
  const findings = stdout
    .split("\n")
    .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Record<string, string>] : []));
  if (findings.length === 0) {
    throw new HobError(
      "unavailable",
      `hob does not start on ${target}: ${stderr.trim().split("\n").at(-1) || "it said nothing"}`,
      {
        remedy: `run ${into}/bin/hob doctor there`,
      },
    );
  }
  const missing = findings.filter(({ state }) => state === "missing");
  if (missing.length > 0) {
    const what = missing.map(({ check, found, remedy }) => `${check} (${found}): ${remedy ?? "see `hob doctor` there"}`);
    throw new HobError("precondition", `${target} lacks what a node needs: ${what.join("; ")}`, {
      remedy: "mend that there, then try again",
    });
  }
  const limited = findings.filter(({ state }) => state === "limited").map(({ check }) => check);
  return `it has what a node needs${limited.length > 0 ? `, with less of: ${limited.join(", ")}` : ""}`;
}

export async function enrol({ remote, target, into, url }: Adding, { uid }: Facts, name: string): Promise<void> {
  const script = `${folders} ${quoted(`${into}/bin/hob`)} agent --join - --join-only --name ${quoted(name)}`;
  const { code, stderr } = await remote.run(asRoot(uid, script), await url());
  if (code === 0) return;
  throw new HobError("unavailable", `${target} did not join: ${stderr.trim().replace(/^hob: /, "")}`);
}

/** Under systemd where there is one; else in the background, and somebody has to see to the next start of the machine. */
export async function start({ remote, target, into, address }: Adding, { uid, systemd }: Facts, name: string): Promise<string> {
  const agent = `${folders} ${quoted(`${into}/bin/hob`)} agent --control ${address} --name ${quoted(name)}`;
  const unit = readFileSync(join(installRoot, "deploy", unitName), "utf8").replaceAll("/opt/hob", into);
  const settings = `HOB_CONTROL=${address}\nHOB_NODE=${name}\n`;
  const install = [
    "mkdir -p /etc/hob",
    `printf %s ${quoted(settings)} > /etc/hob/node.env`,
    `printf %s ${quoted(unit)} > /etc/systemd/system/${unitName}`,
    "systemctl daemon-reload",
    `systemctl enable ${unitName}`,
    `systemctl restart ${unitName}`,
  ].join(" && ");
  const background = `env ${agent} </dev/null >>/var/log/hob-agent.log 2>&1`;
  const { code, stderr } = await remote.run(asRoot(uid, systemd ? install : `setsid nohup ${background} & true`));
  if (code !== 0) {
    throw new HobError("unavailable", `starting the agent on ${target}: ${stderr.trim() || `exit code ${code}`}`, {
      remedy: `read \`journalctl -u ${unitName}\` there`,
    });
  }
  return systemd
    ? `its agent runs as ${unitName}`
    : "its agent runs in the background; without systemd, nothing starts it after a reboot";
}
