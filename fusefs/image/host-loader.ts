// ⑤ Without a package database: the programs themselves, the libraries that the loader gives them, and Python's own idea of its library.

import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemError } from "../../base/errors.ts";

const run = promisify(execFile);

const programs = (
  "sh bash dash env cat cp mv rm ls ln mkdir rmdir mktemp touch chmod chown date echo printf pwd sleep sort uniq head tail cut tr wc tee " +
  "true false test expr id uname dirname basename readlink realpath stat seq sha256sum md5sum du df grep sed awk tar gzip find xargs " +
  "which hostname ps kill openssl"
).split(" ");

const askPython = `
import json, sys, sysconfig, ssl
paths = sysconfig.get_paths()
verify = ssl.get_default_verify_paths()
print(json.dumps({"trees": [paths["stdlib"], paths["platstdlib"]], "certificates": [verify.openssl_cafile, verify.openssl_capath]}))
`;

/** The libraries and the loader that `ldd` names: "libm.so.6 => /lib/libm.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)". Pure. */
export function parseLdd(text: string): string[] {
  return [...text.matchAll(/(?:=>\s+|^\s*)(\/\S+)\s+\(0x/gm)].map((match) => match[1] as string);
}

/** The libraries of programs and of libraries; none for what is not dynamic. */
export async function librariesOf(programs: readonly string[]): Promise<string[]> {
  // ldd exits 1 when one of them is a script or static, which needs no library, and still answers for the others.
  const { stdout } = await run("ldd", [...programs], { maxBuffer: 64 << 20 }).catch((error: { stdout?: string }) => {
    if (error.stdout !== undefined) return { stdout: error.stdout };
    throw systemError("asking ldd for libraries", error);
  });
  return [...new Set(parseLdd(stdout))];
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Every path of the runtimes, as far as programs and their loader know it. */
export async function loaderPaths(python: string): Promise<string[]> {
  const folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
  const found = programs.flatMap((name) => folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? []);
  const answer = JSON.parse((await run(python, ["-I", "-c", askPython])).stdout) as {
    trees: string[];
    certificates: (string | null)[];
  };
  const library = answer.trees
    .flatMap(filesBelow)
    .filter((path) => !/\/(site|dist)-packages\/|\/(test|idlelib|turtledemo)\//.test(path));
  const certificates = answer.certificates.flatMap((path) => (path && existsSync(path) ? [path, ...safeTree(path)] : []));
  const nameServices = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => /^libnss_(files|dns)/.test(name))
          .map((name) => join(folder, name))
      : [],
  );
  const binaries = [python, ...found, ...library.filter((path) => path.endsWith(".so"))];
  const libraries = await librariesOf(binaries);
  return [python, ...found, ...library, ...certificates, ...nameServices, ...libraries, ...filesBelow("/usr/share/zoneinfo")];
}

const safeTree = (path: string): string[] => (/\.(crt|pem)$/.test(path) ? [] : filesBelow(path));
