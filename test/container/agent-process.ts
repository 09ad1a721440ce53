// ⑤ For tests: a real agent process, and the control side of its link in this process, as a list of what the agent has said.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { accessSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, type ServerDuplexStream } from "@grpc/grpc-js";
import type { AgentOptions } from "../../agent/main.ts";
import type { Message } from "../../agent/outbox.ts";
import { openContentFolder } from "../../base/content-folder.ts";
import { HobError } from "../../base/errors.ts";
import { type Batch, createBatch } from "../../proto/batch.ts";
import { type FetchStream, memoryContent, serveFetch } from "../../proto/fetch-serving.ts";
import { type AgentCommand, type AgentCommands, type AgentMessages, AgentsService, Load } from "../../proto/gen/hob/v1/agents.ts";
import { ContentService } from "../../proto/gen/hob/v1/content.ts";
import type { ContainerInfo } from "../../proto/gen/hob/v1/fleet.ts";
import { toServiceError } from "../../proto/status.ts";
import { channelOptions, serverCredentials } from "../../proto/transport.ts";

export const cannotRun: string | undefined = (() => {
  if (process.getuid?.() !== 0) return "needs root";
  try {
    accessSync("/dev/fuse");
  } catch {
    return "needs /dev/fuse";
  }
  const runc = (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, "runc")));
  return runc ? undefined : "needs runc in PATH";
})();

const patienceMs = 25_000;

type Command = NonNullable<AgentCommand["command"]>;
type Of<C extends Message["$case"]> = Extract<Message, { $case: C }>["value"];

export interface AgentUnderTest extends AsyncDisposable {
  readonly options: AgentOptions;
  readonly process: ChildProcess;
  /** Everything that the agent has said, oldest first. */
  readonly said: Message[];
  readonly exited: Promise<unknown>;
  send(command: Command): void;
  /** Hears every message from now on. */
  listen(listener: (message: Message) => void): void;
  /** The first message of that case, already there or to come, that fits. */
  heard<C extends Message["$case"]>(name: C, fits?: (value: Of<C>) => boolean, patienceMs?: number): Promise<Of<C>>;
  /** The containers as the agent's messages have told them. */
  containers(): ContainerInfo[];
  /** Waits until the present containers fit. */
  containersFit(fits: (containers: ContainerInfo[]) => boolean): Promise<ContainerInfo[]>;
  /** A new process on the same folders, after the former has ended. */
  restart(): Promise<void>;
  /** Ends the present connection, as a control that restarts does. */
  dropLink(): void;
  fusePid(): number;
  /** Keeps a blob on the control side only. */
  put(data: Buffer): string;
}

/** An agent of the checkout, whatever its folders are. */
const alone = (options: AgentOptions): ChildProcess => {
  const entry = join(import.meta.dirname, "agent-entry.ts");
  const args = ["--mount", "--propagation", "private", process.execPath, entry, JSON.stringify(options)];
  return spawn("unshare", args, { stdio: ["pipe", "inherit", "inherit"] });
};

/** A run root and a key of the test's own; the store may be shared, so that the host's image is captured once. */
export async function startAgent(
  store: string,
  changes: Partial<AgentOptions> = {},
  launch: (options: AgentOptions) => ChildProcess = alone,
): Promise<AgentUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), "hob-agent-test-"));
  const runRoot = mkdtempSync("/run/hob-test-");
  const key = createHash("sha256").update(folder).digest("hex").slice(0, 8);
  const socket = join(folder, "control.sock");
  const options: AgentOptions = {
    ...{ control: `unix:${socket}`, name: "node-a", run: join(runRoot, key), key, store, state: join(folder, "logs") },
    ...{ embedded: true, build: "test", node: process.execPath, backfillBytesPerSecond: 0, ...changes },
  };
  mkdirSync(store, { recursive: true });
  writeFileSync(join(folder, "note"), "");
  const blobs = new Map<string, Buffer>();
  let said: Message[] = [];
  let stream: ServerDuplexStream<AgentMessages, AgentCommands> | undefined;
  let batch: Batch<AgentCommand> | undefined; // as control writes
  const waiting = new Set<() => void>();
  const listeners: ((message: Message) => void)[] = [];
  const server = new Server(channelOptions);
  server.addService(AgentsService, {
    link(call: ServerDuplexStream<AgentMessages, AgentCommands>) {
      stream = call;
      batch = createBatch<AgentCommand>((commands) => call.write({ commands, acknowledged: 0 }));
      call.on("error", () => {});
      call.on("end", () => call.end());
      call.on("data", ({ messages }: AgentMessages) => {
        for (const { message } of messages) if (message) hear(message, call);
      });
    },
  });
  server.addService(ContentService, {
    // As in an embedded pool, the store is one: control lacks nothing.
    missing(_call: unknown, answer: (error: null, response: { digests: string[] }) => void) {
      answer(null, { digests: [] });
    },
    fetch(call: FetchStream) {
      const content = openContentFolder(store, { durable: false });
      serveFetch(call, ({ digest }) => {
        const data = blobs.get(digest) ?? (content.has(digest) ? content.read(digest) : undefined);
        return data ? { content: memoryContent(data) } : { lacking: `control lacks blob ${digest}` };
      });
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, serverCredentials(), (error) => (error ? reject(error) : resolve())),
  );

  function hear(message: Message, link: ServerDuplexStream<AgentMessages, AgentCommands>): void {
    said.push(message);
    if (message.$case === "hello") {
      link.write({
        commands: [{ command: { $case: "welcome", value: { control: "test", build: "test", peerKey: "" } } }],
        acknowledged: 0,
      });
    }
    for (const look of waiting) look();
    for (const listener of listeners) listener(message);
  }

  async function until<T>(what: string, look: () => T | undefined, forMs = patienceMs): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const check = (): void => {
      const found = look();
      if (found !== undefined) resolve(found);
    };
    const timer = setTimeout(
      () => reject(new Error(`the agent has not said ${what}: ${tail(join(options.state, "agent.log"))}`)),
      forMs,
    );
    waiting.add(check);
    check();
    return promise.finally(() => {
      clearTimeout(timer);
      waiting.delete(check);
    });
  }

  let child = launch(options);
  let exited = once(child, "exit");

  function containers(): ContainerInfo[] {
    const present = new Map<string, ContainerInfo>();
    for (const message of said) {
      if (message.$case !== "container" || !message.value.container) continue;
      if (message.value.gone) present.delete(message.value.container.id);
      else present.set(message.value.container.id, message.value.container);
    }
    return [...present.values()];
  }

  return {
    options,
    get process() {
      return child;
    },
    get said() {
      return said;
    },
    get exited() {
      return exited;
    },
    listen: (listener) => void listeners.push(listener),
    send: (command) => void batch?.add({ command }),
    heard: (name, fits = () => true, forMs = patienceMs) =>
      until(
        name,
        () =>
          said.find(
            (message): message is Extract<Message, { $case: typeof name }> =>
              message.$case === name && fits(message.value as never),
          )?.value as never,
        forMs,
      ),
    containers,
    containersFit: (fits) =>
      until("containers that fit", () => {
        const present = containers();
        return fits(present) ? present : undefined;
      }),
    async restart() {
      await exited;
      said = [];
      child = launch(options);
      exited = once(child, "exit");
    },
    dropLink: () => void stream?.emit("error", toServiceError(new HobError("unavailable", "control is ending"))),
    fusePid: () => (JSON.parse(readFileSync(join(options.run, "agent.json"), "utf8")) as { fuse: { pid: number } }).fuse.pid,
    put(data) {
      const digest = createHash("sha256").update(data).digest("hex");
      blobs.set(digest, data);
      return digest;
    },
    async [Symbol.asyncDispose]() {
      child.stdin?.end();
      await exited;
      server.forceShutdown();
      rmSync(folder, { recursive: true, force: true });
      rmSync(runRoot, { recursive: true, force: true });
    },
  };
}

function tail(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(-6).join("\n") : "it has no log";
}

const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex");

/** A load of one Python file with these functions, as control would send it. */
export function pythonLoad(container: string, source: string, functions: string[], base?: Load): Load {
  const data = Buffer.from(source);
  const file = { path: "app.py", digest: sha256(data), size: data.length, mode: 0o644 };
  const digest = sha256(`644 ${file.digest} ${file.size} ${file.path}\n`);
  return Load.fromPartial({
    ...{ id: 1, container, app: "words", tier: "fork" },
    snapshot: {
      digest,
      base: base?.snapshot?.digest ?? "",
      changed: [file],
      removed: [],
      blobs: [{ digest: file.digest, data }],
    },
    versions: functions.map((name) => ({
      ...{ function: name, digest: sha256(`${digest} ${name}`), snapshot: digest, bundle: "" },
      spec: { app: "words", name, language: "python", module: "app.py", qualname: name, image: { source: "host" } },
    })),
  });
}

/** The same for one TypeScript function and its bundle. */
export function typescriptLoad(container: string, bundle: string, name: string): Load {
  const data = Buffer.from(bundle);
  const file = { path: "app.ts", digest: sha256(data), size: data.length, mode: 0o644 };
  const digest = sha256(`644 ${file.digest} ${file.size} ${file.path}\n`);
  return Load.fromPartial({
    ...{ id: 2, container, app: "thumbs", tier: "fork" },
    snapshot: { digest, base: "", changed: [file], removed: [], blobs: [{ digest: file.digest, data }] },
    bundles: [{ digest: file.digest, data }],
    versions: [
      {
        ...{ function: name, digest: sha256(`${digest} ${name}`), snapshot: digest, bundle: file.digest },
        spec: { app: "thumbs", name, language: "typescript", module: "app.ts", qualname: name, image: { source: "host" } },
      },
    ],
  });
}

/** A dispatch of a function of `load`, with the load in the same message where `withLoad` says so. */
export function callOf(
  call: string,
  load: Load,
  name: string,
  args: unknown[],
  options: { withLoad: boolean; timeoutMs?: number },
): Command {
  const version = load.versions.find((candidate) => candidate.function === name);
  return {
    $case: "dispatch",
    value: {
      ...{ call, attempt: 1, container: load.container, app: load.app, version, timeoutMs: options.timeoutMs ?? 0 },
      keepFrames: false,
      arguments: { positional: Buffer.from(JSON.stringify(args)), keywords: Buffer.alloc(0), large: undefined },
      load: options.withLoad ? load : undefined,
    },
  };
}
