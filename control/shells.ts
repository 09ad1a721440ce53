// ④⑦ Shells: finds each a container, tells its node, and joins the client's stream with the agent's. Credit that both ends grant bounds what
// waits here.

import { randomBytes } from "node:crypto";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { HobError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Failure, Version } from "../proto/gen/hob/v1/common.ts";
import type { OpenShell, ShellInput, ShellOutput, ShellStart, ShellsServer } from "../proto/gen/hob/v1/shell.ts";
import { toServiceError } from "../proto/status.ts";
import type { Clients } from "./clients.ts";
import type { Work } from "./maps/map.ts";
import type { Container, Node, Nodes } from "./nodes.ts";
import type { Registry } from "./registry.ts";
import { unservable } from "./scheduler/gpus.ts";
import type { Group, Groups } from "./scheduler/groups.ts";
import { unfit } from "./scheduler/unfit.ts";
import { chooseContainer, type ShellWish } from "./shell-choice.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Turn } from "./turn.ts";

type ClientStream = ServerDuplexStream<ShellInput, ShellOutput>;
type AgentStream = ServerDuplexStream<ShellOutput, ShellInput>;
type Output = NonNullable<ShellOutput["output"]>;

/** How long a version may take to arrive that a client has just published. */
const publishPatienceMs = 10_000;
/** Before the agent has attached only sizes, signals and the end of input come. */
const mostEarlyInputs = 64;

const imageApp = "image ";

interface Shell {
  readonly id: string;
  readonly start: ShellStart;
  readonly client: ClientStream;
  readonly openedAtMs: number;
  said: string;
  /** Key of the image that it waits for a container of. */
  waitsFor: string;
  container: Container | undefined;
  agent: AgentStream | undefined;
  early: ShellInput[];
  over: boolean;
}

export interface Shells {
  readonly service: ShellsServer;
  /** Gives containers to the shells that wait for one. Part of a turn's decision, before calls are placed. */
  place(): void;
  containerGone(container: Container, reason: string): void;
  /** That node could make no container of an image, and tries again: who waits for one wants to know why. */
  notMade(node: Node, image: string, reason: string): void;
}

interface ShellsParts {
  nodes: Nodes;
  registry: Registry;
  groups: Groups<Work>;
  snapshots: Snapshots;
  clients: Clients;
  turn: Turn;
  log: Log;
  /** Throws for a name that is not set. */
  secretsFor(app: string, names: Iterable<string>): Record<string, string>;
  imageFailure(key: string): Failure | undefined;
}

export function createShells(parts: ShellsParts): Shells {
  const { nodes, registry, groups, snapshots, clients, turn, log } = parts;
  const shells = new Map<string, Shell>();

  const tell = (shell: Shell, output: Output): void => {
    if (!shell.over) shell.client.write({ output });
  };

  /** The end, for both sides, said once. */
  function finish(shell: Shell, ended?: Output): void {
    if (shell.over) return;
    if (ended) tell(shell, ended);
    shell.over = true;
    shells.delete(shell.id);
    shell.client.end();
    shell.agent?.end();
    // A container that the agent never heard of stays with us until it is told to end.
    const { container } = shell;
    if (container && !shell.agent && container.shell === shell.id) stop(container);
  }

  function fail(shell: Shell, error: unknown): void {
    if (!(error instanceof HobError)) throw error;
    const failure = Failure.fromPartial({
      kind: error.kind === "usage" ? "arguments" : "infrastructure",
      message: error.sentence,
    });
    finish(shell, { $case: "ended", value: { code: error.kind === "usage" ? 2 : 3, signal: "", failure } });
  }

  function stop(container: Container): void {
    container.state = "stopping";
    const reason = "its shell has ended";
    turn.toNode(() => container.owner.send({ $case: "stop", value: { container: container.id, reason, graceMs: 0 } }));
  }

  function open(client: ClientStream): void {
    const leave = clients.enter();
    let shell: Shell | undefined;
    client.on("data", (message: ShellInput) => {
      const { input } = message;
      if (shell?.agent) shell.agent.write(message);
      else if (shell) early(shell, message);
      else if (input?.$case === "start") {
        shell = begin(client, input.value);
        turn.wake();
      } else client.emit("error", toServiceError(new HobError("usage", "the first message of a shell is its start")));
    });
    const close = (): void => {
      leave();
      if (shell) finish(shell);
    };
    client.once("end", close);
    client.once("cancelled", close);
    client.once("finish", close);
  }

  function early(shell: Shell, message: ShellInput): void {
    if (message.input?.$case === "size") shell.early = shell.early.filter(({ input }) => input?.$case !== "size");
    shell.early.push(message);
    if (shell.early.length > mostEarlyInputs) fail(shell, new HobError("usage", "a shell was sent input before it was open"));
  }

  function begin(client: ClientStream, start: ShellStart): Shell {
    const shell: Shell = {
      ...{ id: randomBytes(6).toString("hex"), start, client, openedAtMs: performance.now(), early: [] },
      ...{ said: "", waitsFor: "", container: undefined, agent: undefined, over: false },
    };
    shells.set(shell.id, shell);
    if (start.version) setTimeout(() => turn.wake(), publishPatienceMs + 1).unref();
    return shell;
  }

  /** What the shell asks for, from the registry; undefined while its version is still on its way. */
  function wishOf(shell: Shell): (ShellWish & { group: Group<Work> | undefined }) | undefined {
    if (shell.start.image) return imageWish(shell.start.image);
    const { app, function: name, version: digest, container } = shell.start;
    const named = name ? registry.version(app, name, digest) : registry.current(app)[0];
    if (!named && app !== "" && (digest !== "" || container === "")) {
      if (digest !== "" && performance.now() - shell.openedAtMs < publishPatienceMs) return undefined;
      const known = registry.current(app).map((version) => version.function);
      const what = name ? `app ${app} has no function ${name}` : `no app is called ${app}`;
      throw new HobError("usage", what, {
        remedy: known.length > 0 ? `there is ${known.join(", ")}` : "hob ps shows what there is",
      });
    }
    const group = named && groups.of(app, named);
    const failure = container === "" && group ? parts.imageFailure(group.imageKey) : undefined;
    if (failure) throw new HobError("precondition", failure.message);
    const never = container === "" && group ? neverFor(group) : undefined;
    if (never !== undefined) throw new HobError("precondition", never);
    return { app, version: named, group, container };
  }

  function neverFor({ imageKey, resourceClass: { gpu, language } }: Group<Work>): string | undefined {
    return unfit(imageKey, language, nodes.all.values()) ?? unservable(gpu, [...nodes.all.values()]);
  }

  /** A container of an image alone: no app has that name. */
  function imageWish(digest: string): ShellWish & { group: Group<Work> } {
    const known = [...nodes.all.values()];
    if (known.length > 0 && !known.some(({ images }) => images.has(digest))) {
      throw new HobError("notFound", `no node has an image ${digest.slice(0, 12)}`, {
        remedy: "hob images ls lists what there is",
      });
    }
    const app = `${imageApp}${digest.slice(0, 12)}`;
    const spec = { app, language: "python", image: { digest } };
    const version = Version.fromPartial({ spec });
    const group = groups.of(app, version);
    const never = neverFor(group);
    if (never !== undefined) throw new HobError("precondition", never);
    return { app, version, group, container: "" };
  }

  function place(): void {
    for (const group of groups.all.values()) group.shells = 0;
    for (const shell of shells.values()) {
      if (shell.container || shell.over) continue;
      try {
        const wish = wishOf(shell);
        const choice = wish && chooseContainer(wish, [...nodes.all.values()], nodes.containers());
        if (wish && choice && !choice.container && wish.group) wish.group.shells++;
        shell.waitsFor = wish?.group?.imageKey ?? "";
        if (wish && choice?.container) give(shell, wish, choice.container as Container);
        else if (choice && choice.reason !== shell.said) {
          shell.said = choice.reason;
          tell(shell, { $case: "waiting", value: { reason: choice.reason } });
        }
      } catch (error) {
        fail(shell, error);
      }
    }
    for (const { key, app, shells: waiting } of groups.all.values()) {
      if (app.startsWith(imageApp) && waiting === 0) groups.drop(key);
    }
  }

  function give(shell: Shell, wish: ShellWish, container: Container): void {
    const owns = wish.container === "";
    const secrets = shell.start.plain ? {} : parts.secretsFor(wish.app, wish.version?.spec?.secrets ?? []);
    const app = owns ? wish.app : container.app;
    const digest = owns ? (wish.version?.snapshot ?? "") : ([...container.loaded].at(-1) ?? "");
    const snapshot = digest === "" ? undefined : snapshots.delta("", digest);
    shell.container = container;
    if (owns) {
      container.shell = shell.id;
      container.app = app;
      container.group = `${app} shell`; // none that calls are placed by
      container.state = "specialised";
    }
    const { start, id } = shell;
    const name = start.plain ? "" : start.function;
    const order: OpenShell = { id, container: container.id, app, function: name, snapshot, secrets, owns, start };
    log.info({ shell: shell.id, app, container: container.id, node: container.node }, "a shell");
    turn.toNode(() => container.owner.send({ $case: "shell", value: order }));
  }

  function attach(agent: AgentStream): void {
    let shell: Shell | undefined;
    agent.on("data", ({ output }: ShellOutput) => {
      if (!output) return;
      if (output.$case === "attach") {
        shell = shells.get(output.value);
        if (!shell) return void agent.end(); // its client has left meanwhile
        shell.agent = agent;
        for (const message of shell.early.splice(0)) agent.write(message);
      } else if (!shell) return;
      else if (output.$case === "ended") finish(shell, output);
      else if (output.$case === "opened") {
        const node = shell.container?.node ?? "";
        tell(shell, { $case: "opened", value: { ...output.value, node } });
      } else tell(shell, output);
    });
    const close = (): void => {
      agent.end();
      if (shell) fail(shell, new HobError("unavailable", "the connection to the shell's node was lost"));
    };
    agent.once("end", close);
    agent.once("cancelled", close);
  }

  return {
    service: { open, attach },
    place,
    notMade(node, image, reason) {
      for (const shell of shells.values()) {
        if (shell.container || node.images.get(shell.waitsFor) !== image) continue;
        tell(shell, { $case: "waiting", value: { reason: `a container could not be made: ${reason}` } });
      }
    },
    containerGone(container, reason) {
      for (const shell of shells.values()) {
        if (shell.container !== container || shell.agent) continue; // with an agent, that one says how it ended
        fail(shell, new HobError("unavailable", `container ${container.id} on ${container.node} was lost: ${reason}`));
      }
    },
  };
}
