// ④ The streams that a save's way leads through, for those who reach control on its own machine (proto/direct.ts).

import { type Routes, route } from "../proto/direct-server.ts";
import { AgentCommands, AgentMessages, AgentsService } from "../proto/gen/hob/v1/agents.ts";
import { CallsService, ClientMessage, SessionEvents } from "../proto/gen/hob/v1/calls.ts";
import type { Agents } from "./agents.ts";
import type { Sessions } from "./sessions.ts";

export function directStreams({
  sessions,
  agents,
}: {
  sessions: Pick<Sessions, "serve">;
  agents: Pick<Agents, "serve">;
}): Routes {
  return new Map([
    [CallsService.session.path, route(ClientMessage, SessionEvents, sessions.serve)],
    [AgentsService.link.path, route(AgentMessages, AgentCommands, agents.serve)],
  ]);
}
