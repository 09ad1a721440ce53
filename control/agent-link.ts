// ④⑤ One agent's stream: what it is told, in order and within bounds, and how many of its messages control has taken and recorded.

import { createBatch } from "../proto/batch.ts";
import type { ServedDirectly } from "../proto/direct-server.ts";
import type { AgentCommand, AgentCommands, Load } from "../proto/gen/hob/v1/agents.ts";
import type { Command } from "./nodes.ts";
import type { Heard } from "./silence.ts";
import type { Turn } from "./turn.ts";

/** What waits for an agent that does not read, roughly; beyond, it is given up. */
const mostUnread = { commands: 20_000, bytes: 64 << 20 };

export type AgentStream = ServedDirectly<AgentCommands>;

export interface AgentLink extends Heard {
  readonly stream: AgentStream;
  readonly epoch: string;
  /** Of the messages that count (proto/kept.ts), since the epoch began. */
  taken: number;
  /** `now`: it does not wait for what else this turn of the event loop has to say. */
  send(command: Command, now?: boolean): void;
  /** Twice a second, with a sample's turn: nothing more is said for the sake of it while results are on their way. */
  acknowledge(): void;
  end(): void;
}

interface LinkOptions extends Pick<Heard, "patienceMs" | "heardAtMs" | "received"> {
  stream: AgentStream;
  epoch: string;
  /** On its former connections. */
  taken: number;
  turn: Pick<Turn, "toNode">;
  /** The agent does not read. */
  deaf(): void;
}

export function openAgentLink({ stream, epoch, taken: before, turn, deaf, ...heard }: LinkOptions): AgentLink {
  let recorded = before;
  let told = before;
  let unread = { commands: 0, bytes: 0 };
  let ended = false;

  function write(commands: AgentCommand[]): boolean {
    told = recorded;
    return stream.write({ commands, acknowledged: recorded });
  }
  const batch = createBatch<AgentCommand>(write);
  stream.on("drain", () => {
    batch.drained();
    unread = { commands: 0, bytes: 0 };
  });

  const link: AgentLink = {
    ...{ stream, epoch, taken: before, bytes: heard.received(), ...heard },
    send(command, now) {
      const bytes = bytesOf(command);
      const open = batch.add({ command }, bytes);
      if (now) batch.flush();
      if (open) return;
      unread.commands++;
      unread.bytes += bytes;
      if (unread.commands > mostUnread.commands || unread.bytes > mostUnread.bytes) deaf();
    },
    acknowledge() {
      const { taken } = link;
      if (taken === recorded) return;
      turn.toNode(() => {
        recorded = taken;
        if (!ended && told < taken) write([]);
      });
    },
    end() {
      ended = true;
      if (!stream.writableEnded) {
        batch.flush();
        stream.end();
      }
      batch.close();
    },
  };
  return link;
}

/** Of what may be large. */
function bytesOf(command: Command): number {
  if (command.$case === "dispatch") {
    const { load, arguments: given } = command.value;
    return (load ? loadBytes(load) : 0) + (given?.positional.byteLength ?? 0) + (given?.keywords.byteLength ?? 0);
  }
  if (command.$case === "inputs")
    return command.value.inputs.byteLength + (command.value.load ? loadBytes(command.value.load) : 0);
  return command.$case === "load" ? loadBytes(command.value) : 0;
}

const loadBytes = ({ snapshot, bundles }: Load): number =>
  [...(snapshot?.blobs ?? []), ...bundles].reduce((sum, { data }) => sum + data.byteLength, 0);
