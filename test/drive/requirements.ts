// What a test needs of the machine. Where it is missing the test skips and this says why, once.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const said = new Set<string>();

function missing(reason: string): boolean {
  if (!said.has(reason)) process.stderr.write(`skipped: ${reason}\n`);
  said.add(reason);
  return false;
}

/** True where all of these programs are installed. */
export function programs(...names: string[]): boolean {
  const folders = (process.env["PATH"] ?? "").split(":");
  const absent = names.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  return absent.length === 0 || missing(`not installed: ${absent.join(", ")}`);
}

/** True where real containers can be run: root, runc, /dev/fuse. */
export function rootWithContainers(): boolean {
  if (process.getuid?.() !== 0) return missing("containers need root");
  if (!existsSync("/dev/fuse")) return missing("there is no /dev/fuse");
  try {
    execFileSync("runc", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return missing("runc is not installed");
  }
}

/** True where this machine can make a Debian image from its own mirrors. */
export function withDebianMirror(): boolean {
  for (const program of ["mmdebstrap", "apt-config"]) {
    try {
      execFileSync("which", [program], { stdio: "ignore" });
    } catch {
      return missing(`${program} is not installed`);
    }
  }
  return true;
}

/** True where the distribution's Python has that module: what CI lacks, scripts/test.sh installs. */
export function pythonModule(name: string): boolean {
  try {
    execFileSync("/usr/bin/python3", ["-c", `import ${name}`], { stdio: "ignore" });
    return true;
  } catch {
    return missing(`the distribution's Python has no ${name}`);
  }
}
