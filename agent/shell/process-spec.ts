// ⑥ What runc is told about the process of a shell: as confined as the runner of its container. Pure.

import type { OpenShell } from "../../proto/gen/hob/v1/shell.ts";
import { defaultPath } from "../runner/command.ts";
import type { Launch } from "../runner/image-runtime.ts";

// The person's own shell where the image has it (sh is nobody's choice), else bash, else sh. No start-up files: /etc/bash.bashrc would
// replace the prompt.
const choose =
  'for wish in "$SHELL" bash; do case "$wish" in ""|sh|*/sh) ;; bash|*/bash) command -v "$wish" >/dev/null 2>&1 && exec "$wish" --norc;;' +
  ' *) command -v "$wish" >/dev/null 2>&1 && exec "$wish";; esac; done; exec sh';

const passedOn = ["TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "SHELL", "TZ"];

const snapshotFolder = (snapshot: string): string => (snapshot === "" ? "/project" : `/project/${snapshot}`);

/** `$PWD` without the project's folder in front. Both bash and dash expand variables in it; names are cut to what neither expands. */
function prompt(app: string, name: string, folder: string): string {
  const plain = (text: string): string => text.replace(/[^\w.-]/g, "");
  const title = name === "" ? plain(app) : `${plain(app)}/${plain(name)}`;
  return `${title || "hob"} \${PWD#${folder}}$ `;
}

export interface ProcessInput {
  order: OpenShell;
  /** What the container's image says of processes. */
  launch: Pick<Launch, "config" | "user">;
  openFilesMost: number;
}

const openFilesWished = 65_536;

/** An OCI process (spec 1.0.2): no capabilities, no new privileges; namespaces, cgroup and system calls are its container's. */
export function processSpec({ order, launch, openFilesMost }: ProcessInput): object {
  const { start, app, function: name, snapshot, secrets } = order;
  const folder = snapshot || !launch.config.workdir ? snapshotFolder(snapshot?.digest ?? "") : launch.config.workdir;
  const given = start?.environment ?? {};
  const environment: Record<string, string> = {
    PATH: defaultPath,
    HOME: "/tmp",
    LANG: "C.UTF-8",
    ...launch.config.env,
    PYTHONPATH: "/hob/python",
    PYTHONDONTWRITEBYTECODE: "1",
    PS1: prompt(app, name, folder),
    ...Object.fromEntries(passedOn.flatMap((key) => (given[key] ? [[key, given[key]]] : []))),
    ...secrets,
  };
  const none: string[] = [];
  const openFiles = Math.min(openFilesWished, openFilesMost);
  const command = start?.command ?? [];
  const { columns = 80, rows = 24 } = start?.size ?? {};
  return {
    terminal: start?.terminal ?? false,
    ...(start?.terminal ? { consoleSize: { width: columns, height: rows } } : {}),
    user: launch.user,
    args: command.length > 0 ? command : ["/bin/sh", "-c", choose],
    env: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
    cwd: folder,
    capabilities: { bounding: none, effective: none, inheritable: none, permitted: none, ambient: none },
    noNewPrivileges: true,
    rlimits: [
      { type: "RLIMIT_NOFILE", hard: openFiles, soft: openFiles },
      { type: "RLIMIT_CORE", hard: 0, soft: 0 },
    ],
    oomScoreAdj: 500,
  };
}
