// ④⑤ The nodes that are linked and their containers, as control knows them: what agents report, and what control has sent since.

import { randomBytes } from "node:crypto";
import type { AgentCommand, Load } from "../proto/gen/hob/v1/agents.ts";
import { ContainerInfo, type ImageInfo, NodeInfo, ResourceClass } from "../proto/gen/hob/v1/fleet.ts";
import { hostImageKey } from "../proto/image.ts";
import type { ContainerView, NodeView } from "./scheduler/decide.ts";
import { createPoolIndex, type IndexedPool } from "./scheduler/pool-index.ts";
import { classKeyOf } from "./scheduler/pools.ts";
import type { SpreadNode } from "./spread.ts";

export type Command = NonNullable<AgentCommand["command"]>;

/** A load that was sent and not answered yet; sent again beside a dispatch, which is harmless: a load is idempotent. */
interface PendingLoad {
  message: Load;
  group: string;
  sentAtMs: number;
  /** It went ahead of its call, which does not bring it again. */
  ahead?: boolean;
}

export interface Container extends ContainerView {
  readonly owner: Node;
  info: ContainerInfo;
  state: ContainerView["state"];
  group: string;
  /** "" while it is generic. */
  app: string;
  idleSinceMs: number;
  shell: string;
  loaded: Set<string>;
  loading: Map<string, PendingLoad>;
  /** Attempts in flight: call → attempt. */
  readonly calls: Map<string, number>;
}

export interface Node extends NodeView, SpreadNode {
  info: NodeInfo;
  readonly images: Map<string, string>;
  /** Why no container of an image can run a language, by "DIGEST LANGUAGE". */
  readonly unfit: Map<string, string>;
  readonly containers: Map<string, Container>;
  cores: number;
  schedulable: boolean;
  sinceMs: number;
  peerAddress: string;
  /** The wish list sent last, as text. */
  pools: string;
  /** `now`: before this turn is recorded, for what is no promise. */
  send(command: Command, now?: boolean): void;
}

export interface Nodes {
  readonly all: ReadonlyMap<string, Node>;
  containers(): Container[];
  /** As the scheduler asks for them, up to date. */
  indexed(): IndexedPool;
  link(info: NodeInfo, nowMs: number, send: Node["send"]): Node;
  unlink(node: Node): void;
  /** What an agent says about one container. */
  report(node: Node, info: ContainerInfo, nowMs: number): Container;
  /** The twice-a-second sample. Answers the containers that it lacks: they are gone. */
  sample(node: Node, info: NodeInfo, nowMs: number): Container[];
  resolved(node: Node, image: ImageInfo): void;
  /** Control has an image with all its blobs: every node may use it. */
  grant(key: string, digest: string): void;
  revoke(key: string): void;
  /** calls.proto, Rouse. */
  rouse(apps: readonly string[]): void;
  /** As givers of contents to one another. */
  readonly spread: { get(name: string): SpreadNode | undefined; all(): Iterable<SpreadNode> };
  /** As people see it: measurements from the agent, the rest from control. */
  infoOf(node: Node): NodeInfo;
}

/** Says which key has changed. */
class WatchedMap<K, V> extends Map<K, V> {
  readonly #changed: (key: K, before: V | undefined) => void;

  constructor(changed: (key: K, before: V | undefined) => void) {
    super();
    this.#changed = changed;
  }

  override set(key: K, value: V): this {
    const before = this.get(key);
    super.set(key, value);
    this.#changed(key, before);
    return this;
  }

  override delete(key: K): boolean {
    const before = this.get(key);
    const deleted = super.delete(key);
    if (deleted) this.#changed(key, before);
    return deleted;
  }
}

type State = ContainerView["state"];
const states: readonly State[] = ["created", "starting", "warm", "specialised", "stopping"];
const stateOf = (text: string): State => states.find((state) => state === text) ?? "starting";

const noClass = ResourceClass.create();

/** `groupFor` finds the group of a container that was specialised before this control knew it. */
export function createNodes(groupFor: (info: ContainerInfo, node: Node) => string): Nodes {
  const all = new Map<string, Node>();
  const granted = new Map<string, string>(); // image digest by key
  const index = createPoolIndex();

  function add(node: Node, info: ContainerInfo, nowMs: number): Container {
    const loading = new Map<string, PendingLoad>();
    const calls: Container["calls"] = new WatchedMap(() => index.container(container));
    let state = stateOf(info.state);
    // An app that no function of ours belongs to: some group that does not exist, so that it is stopped once idle.
    let group = info.app ? groupFor(info, node) || `${info.app} ?` : "";
    let shell = "";
    const container: Container = {
      id: info.id,
      node: node.name,
      owner: node,
      image: info.image,
      classKey: classKeyOf(info.resourceClass ?? noClass),
      info,
      get state() {
        return state;
      },
      set state(value) {
        if (value !== state) index.container(container);
        state = value;
      },
      get group() {
        return group;
      },
      set group(value) {
        if (value !== group) index.container(container);
        group = value;
      },
      get shell() {
        return shell;
      },
      set shell(value) {
        shell = value;
        index.container(container);
      },
      app: info.app,
      idleSinceMs: nowMs,
      loaded: new Set(info.snapshots),
      loading,
      calls,
      get inFlight() {
        return calls.size;
      },
      get memoryBytes() {
        return container.info.memoryBytes;
      },
    };
    node.containers.set(info.id, container);
    return container;
  }

  function report(node: Node, info: ContainerInfo, nowMs: number): Container {
    const known = node.containers.get(info.id);
    if (!known) return add(node, info, nowMs);
    known.info = info;
    const state = stateOf(info.state);
    // The agent's word may be older than what control sent since: a container that was given away is not generic again.
    if (known.state !== "stopping" && !(known.group !== "" && state === "warm")) known.state = state;
    known.loaded = new Set(info.snapshots);
    return known;
  }

  function resolved(node: Node, image: ImageInfo): void {
    if (!image.digest) return;
    // An image made by steps over a host's own is not that; one that a deployment has pinned by its digest is.
    const made = [...granted].some(([key, digest]) => digest === image.digest && key !== digest);
    if (image.source === "host" && !made) node.images.set(hostImageKey, image.digest);
    node.images.set(image.digest, image.digest);
  }

  function localShare(node: Node, image: string): number {
    const found = node.info.images.find(({ digest }) => digest === image);
    return found && found.storedBytes > 0 ? Math.min(1, found.localBytes / found.storedBytes) : 0;
  }

  return {
    all,
    containers() {
      const list: Container[] = [];
      for (const node of all.values()) for (const container of node.containers.values()) list.push(container);
      return list;
    },
    indexed: index.current,
    link(info, nowMs, send) {
      let schedulable = true;
      const node: Node = {
        name: info.name,
        info,
        cores: info.cores,
        get schedulable() {
          return schedulable;
        },
        set schedulable(value) {
          schedulable = value;
          index.node(node);
        },
        get memoryBytes() {
          return node.info.memoryBytes;
        },
        get memoryUsedBytes() {
          return node.info.memoryUsedBytes;
        },
        images: new Map([...granted].flatMap(([key, digest]) => [[key, digest] as const, [digest, digest] as const])),
        unfit: new Map(),
        containers: new WatchedMap((id, before) => {
          const now = node.containers.get(id);
          if (before && before !== now) index.containerGone(before);
          if (now) index.container(now);
        }),
        sinceMs: nowMs,
        pools: "",
        peerAddress: "",
        peerKey: randomBytes(32).toString("hex"),
        send,
        localShare: (image) => localShare(node, image),
        whole: (image) => localShare(node, image) === 1,
      };
      all.set(info.name, node);
      for (const image of info.images) resolved(node, image);
      index.node(node);
      for (const container of info.containers) add(node, container, nowMs);
      return node;
    },
    unlink(node) {
      if (all.get(node.name) !== node) return;
      all.delete(node.name);
      index.nodeGone(node.name);
    },
    report,
    sample(node, info, nowMs) {
      node.info = info;
      node.cores = info.cores || node.cores;
      for (const image of info.images) resolved(node, image);
      index.node(node);
      const seen = new Set(info.containers.map((container) => container.id));
      for (const container of info.containers) report(node, container, nowMs);
      return [...node.containers.values()].filter((container) => !seen.has(container.id));
    },
    resolved(node, image) {
      resolved(node, image);
      index.node(node);
    },
    grant(key, digest) {
      granted.set(key, digest);
      for (const node of all.values()) {
        node.images.set(key, digest).set(digest, digest);
        index.node(node);
      }
    },
    revoke(key) {
      const digest = granted.get(key);
      if (!granted.delete(key) || digest === undefined) return;
      for (const node of all.values()) {
        node.images.delete(key);
        node.images.delete(digest);
        index.node(node);
      }
    },
    rouse(apps) {
      for (const node of all.values()) {
        const serving = [...node.containers.values()].filter(({ app, state }) => state === "specialised" && apps.includes(app));
        if (serving.length > 0) node.send({ $case: "rouse", value: { containers: serving.map(({ id }) => id) } });
      }
    },
    spread: { get: (name) => all.get(name), all: () => all.values() },
    infoOf(node) {
      const containers = [...node.containers.values()].map((container) =>
        ContainerInfo.fromPartial({
          ...container.info,
          state: container.state,
          app: container.app,
          snapshots: [...container.loaded],
          calls: [...container.calls.keys()],
        }),
      );
      const { name, schedulable } = node; // its own words may differ
      return NodeInfo.fromPartial({ ...node.info, name, state: node.info.state || "ready", cordoned: !schedulable, containers });
    },
  };
}
