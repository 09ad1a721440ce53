// A place for one test: project, folders and run folder of its own, so that its pool is nobody else's; and what is left of that pool.

import {
  cpSync,
  type Dirent,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.ts";
import { installRoot } from "../../base/install.ts";
import { poolPaths } from "../../base/paths.ts";

export interface Workplace extends Disposable {
  project: string;
  run: string;
  state: string;
  environment: Record<string, string>;
  /** Name of the cgroups of this place's pool. */
  key: string;
  /** Writes a project's file as editors do: a temporary file, then a rename. */
  save(file: string, content: string): void;
  read(file: string): string;
}

/** The capture of the host's runtimes is shared by all tests of a run: the cache folder is one, states and run folders are not. */
const sharedCache = join(tmpdir(), "hob-test-cache");

/** `files`: the project's files by path, or "quickstart" for a copy of the example. */
export function makeWorkplace(files: Record<string, string> | "quickstart"): Workplace {
  const place = mkdtempSync(join(tmpdir(), "hob-test-"));
  const project = join(place, "project");
  if (files === "quickstart") {
    cpSync(join(installRoot, "examples/quickstart"), project, {
      recursive: true,
      filter: (path) => !path.includes("__pycache__"),
    });
  } else {
    mkdirSync(project);
    for (const [file, content] of Object.entries(files)) writeFileSync(join(project, file), content);
  }
  const run = mkdtempSync("/run/hob-test-");
  const environment = {
    XDG_STATE_HOME: join(place, "state"),
    XDG_CONFIG_HOME: join(place, "config"),
    XDG_CACHE_HOME: sharedCache,
    HOB_RUN_DIR: run,
    HOB_LINGER_MS: "1000",
    HOB_NO_SETUP: "1",
  };
  const key = poolPaths(installRoot, join(environment.XDG_STATE_HOME, "hob")).key;
  return {
    project,
    run,
    state: join(place, "state"),
    environment,
    key,
    save(file, content) {
      const temporary = join(project, `.${file.replaceAll("/", "_")}.tmp`);
      writeFileSync(temporary, content);
      renameSync(temporary, join(project, file));
    },
    read: (file) => readFileSync(join(project, file), "utf8"),
    [Symbol.dispose]() {
      rmSync(place, { recursive: true, force: true });
      rmSync(run, { recursive: true, force: true });
    },
  };
}

export interface PoolProcess {
  pid: number;
  command: string;
  /** The first process of one of its containers. */
  container: boolean;
}

/** The processes of this place's pool: whose environment names its run folder, or whose cgroup is one of its containers'. */
export function processesOf(place: Workplace): PoolProcess[] {
  const found: PoolProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8");
      const cgroup = readFileSync(`/proc/${name}/cgroup`, "utf8");
      const inside = cgroup.includes(`hob-${place.key}`);
      if (!environment.includes(`HOB_RUN_DIR=${place.run}`) && !inside) continue;
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      const container = inside && /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${name}/status`, "utf8"));
      found.push({ pid: Number(name), command, container });
    } catch (error) {
      // It ended between readdir and read, or it is a zombie whose environment is gone.
      if (!(error instanceof Error)) throw error;
    }
  }
  return found.filter(({ command }) => command !== "");
}

/** Everything of this place's pool that the machine still holds: processes, cgroups, mounts of any process, network namespaces, run folders. */
export function leftovers(place: Workplace): string[] {
  const left = processesOf(place).map(({ pid, command }) => `process ${pid}: ${command}`);
  left.push(...cgroupFolders("/sys/fs/cgroup", `hob-${place.key}`, 3));
  const namespaces = new Set<string>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const namespace = readlinkSync(`/proc/${name}/ns/mnt`);
      if (namespaces.has(namespace)) continue;
      namespaces.add(namespace);
      for (const line of readFileSync(`/proc/${name}/mountinfo`, "utf8").split("\n")) {
        if (line.includes(place.run)) left.push(`mount seen by process ${name}: ${line}`);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error; // it ended meanwhile
    }
  }
  for (const file of existsSync("/run/netns") ? readdirSync("/run/netns") : []) {
    if (file.includes(place.key)) left.push(`network namespace ${file}`);
  }
  const containers = join(place.run, place.key, "c");
  for (const name of existsSync(containers) ? readdirSync(containers) : []) left.push(`container folder ${name}`);
  return left;
}

/** None where the folder has gone meanwhile: other pools come and go. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

function cgroupFolders(folder: string, name: string, depth: number): string[] {
  if (depth === 0) return [];
  return entriesOf(folder)
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) =>
      entry.name === name ? [`cgroup ${join(folder, name)}`] : cgroupFolders(join(folder, entry.name), name, depth - 1),
    );
}
