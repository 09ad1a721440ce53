// ④ The Members service: tokens, machines that join, and what is asked of a node: to take nothing new, to be emptied, to leave.

import type { Metadata } from "@grpc/grpc-js";
import { HobError } from "../../base/errors.ts";
import type { ChangeNodeRequest, MembersServer } from "../../proto/gen/hob/v1/members.ts";
import { toServiceError } from "../../proto/status.ts";
import type { Agents } from "../agents.ts";
import type { Records } from "../engine/engine.ts";
import type { Node, Nodes } from "../nodes.ts";
import type { Turn } from "../turn.ts";
import { callerOf } from "./gate.ts";
import type { Scope, Tokens } from "./tokens.ts";

const cordonKind = "cordon";

interface MembersParts {
  tokens: Tokens;
  records: Records;
  nodes: Nodes;
  agents: Pick<Agents, "dismiss">;
  turn: Turn;
  build: string;
  now(): number;
  /** The URL that leads here with that token. Throws where control does not listen on the network. */
  url(token: string): string;
}

/** Names of nodes that take nothing new; kept, so that control's own end does not change it. */
export const isCordoned = (records: Records, node: string): boolean => records.get(cordonKind, node) !== undefined;

type Answer<Value> = (error: ReturnType<typeof toServiceError> | null, value?: Value) => void;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export function createMembers(parts: MembersParts): MembersServer {
  const { tokens, records, nodes, agents, turn, now } = parts;

  /** Answers once it is recorded. */
  function answer<Value>(work: () => Value, callback: Answer<Value>): void {
    try {
      const value = work();
      turn.toClient(() => callback(null, value));
    } catch (error) {
      callback(toServiceError(error));
    }
  }

  function join(node: string, metadata: Metadata): { token: string } {
    if (!namePattern.test(node)) {
      throw new HobError("usage", `"${node}" cannot be the name of a node`, {
        remedy: "use letters, digits, dots and dashes: --name NAME",
      });
    }
    if (tokens.ofNode(node) || nodes.all.has(node)) {
      throw new HobError("precondition", `the pool has a node ${node} already`, {
        remedy: `choose another name with --name, or first \`hob pool remove ${node}\``,
      });
    }
    const note = `joined with ${callerOf(metadata)?.token ?? "control's own socket"}`;
    return { token: tokens.create({ scope: "agent", note, node, lifetimeMs: 0 }).token };
  }

  function setCordon(name: string, node: Node | undefined, cordoned: boolean): void {
    const known = records.get(cordonKind, name);
    if (cordoned && !known) records.put(cordonKind, name, Buffer.alloc(0), 0);
    if (!cordoned && known) records.remove(cordonKind, name);
    if (!node) return;
    node.schedulable = !cordoned;
    node.pools = ""; // its wish list is told anew
  }

  /** What waits there ends; what runs has `patienceMs`, and then runs elsewhere. */
  function empty(node: Node, patienceMs: number): void {
    node.send({ $case: "pools", value: { pools: [] } });
    for (const container of node.containers.values()) {
      if (container.state !== "specialised") continue;
      container.state = "stopping";
      const value = { container: container.id, reason: `node ${node.name} is drained`, graceMs: Math.max(1, patienceMs) };
      node.send({ $case: "stop", value });
    }
  }

  function change({ node: name, to, patienceMs }: ChangeNodeRequest, metadata: Metadata): { calls: number } {
    const node = nodes.all.get(name);
    const member = tokens.ofNode(name);
    if (!node && !member) {
      throw new HobError("notFound", `the pool has no node ${name}`, {
        remedy: `it has ${[...nodes.all.keys()].join(", ") || "none"}`,
      });
    }
    const calls = [...(node?.containers.values() ?? [])].reduce((sum, container) => sum + container.calls.size, 0);
    switch (to) {
      case "cordoned":
      case "schedulable":
        setCordon(name, node, to === "cordoned");
        break;
      case "drained":
        setCordon(name, node, true);
        if (node) turn.toNode(() => empty(node, patienceMs));
        break;
      case "removed": {
        const caller = callerOf(metadata);
        if (caller)
          throw new HobError("denied", `removing node ${name}`, { remedy: "do it on control's machine, at its own socket" });
        if (member) tokens.revoke(member.id);
        setCordon(name, node, false);
        if (node) turn.toNode(() => agents.dismiss(node, patienceMs));
        break;
      }
      default:
        throw new HobError("usage", `a node cannot become "${to}"`);
    }
    turn.wake();
    return { calls };
  }

  /** It opens the gateway, and no URL of gRPC has a part for it. */
  function callToken(note: string, lifetimeMs: number) {
    const { info, token } = tokens.create({ scope: "call", note, node: "", lifetimeMs });
    return { info, url: token };
  }

  return {
    whoAmI({ metadata }, callback) {
      const { scope, node } = callerOf(metadata) ?? { scope: "owner", node: "" };
      callback(null, { scope, node, build: parts.build });
    },
    join: ({ request: { node }, metadata }, callback) => answer(() => join(node, metadata), callback),
    createToken({ request: { scope, note, expiresInMs } }, callback) {
      answer(() => {
        if (scope === "agent") {
          throw new HobError("usage", "an agent's token is made when it joins", { remedy: "make a token of scope join" });
        }
        if (scope === "call") return callToken(note, expiresInMs);
        parts.url(""); // refuses before anything is made
        const { info, token } = tokens.create({ scope: scope as Scope, note, node: "", lifetimeMs: expiresInMs });
        return { info, url: parts.url(token) };
      }, callback);
    },
    listTokens: (_call, callback) =>
      callback(null, { tokens: tokens.list().filter(({ expiresAtMs }) => expiresAtMs === 0 || expiresAtMs > now()) }),
    revokeToken: ({ request: { id } }, callback) => answer(() => ({ info: tokens.revoke(id) }), callback),
    changeNode: ({ request, metadata }, callback) => answer(() => change(request, metadata), callback),
  };
}
