// ④ The one table of what a token's scope may call on the network. Control's own socket has no tokens: who can open it owns the pool.

import type { AgentMessages, AgentsService } from "../../proto/gen/hob/v1/agents.ts";
import type { CallsService, ClientMessage } from "../../proto/gen/hob/v1/calls.ts";
import type { ContentService } from "../../proto/gen/hob/v1/content.ts";
import type { DeploymentsService } from "../../proto/gen/hob/v1/deployments.ts";
import type { FleetService } from "../../proto/gen/hob/v1/fleet.ts";
import type { ImagesService } from "../../proto/gen/hob/v1/images.ts";
import type { MembersService, TokenInfo } from "../../proto/gen/hob/v1/members.ts";
import type { RegistryService } from "../../proto/gen/hob/v1/registry.ts";
import type { SchedulesService } from "../../proto/gen/hob/v1/schedules.ts";
import type { SecretsService } from "../../proto/gen/hob/v1/secrets.ts";
import type { ShellsService } from "../../proto/gen/hob/v1/shell.ts";
import type { Scope } from "./tokens.ts";

interface Right {
  scopes: readonly Scope[];
  /** Why a message of the stream is not allowed to its sender; undefined when it is. */
  refuses?(message: unknown, sender: TokenInfo): string | undefined;
}

type PathsOf<Service> = {
  [Method in keyof Service]: Service[Method] extends { path: infer Path extends string } ? Path : never;
}[keyof Service];
type Path =
  | PathsOf<typeof CallsService>
  | PathsOf<typeof RegistryService>
  | PathsOf<typeof ContentService>
  | PathsOf<typeof DeploymentsService>
  | PathsOf<typeof FleetService>
  | PathsOf<typeof SchedulesService>
  | PathsOf<typeof SecretsService>
  | PathsOf<typeof AgentsService>
  | PathsOf<typeof ShellsService>
  | PathsOf<typeof ImagesService>
  | PathsOf<typeof MembersService>;

const owner: Right = { scopes: [] };
const client: Right = { scopes: ["client"] };
const reading: Right = { scopes: ["client", "read-only"] };
const agent: Right = { scopes: ["agent"] };
const both: Right = { scopes: ["client", "agent"] };

const harmless = new Set(["open", "watch"]);

/** Of a session, a token that may only read opens it and watches. */
function readsOnly(message: unknown, { scope }: TokenInfo): string | undefined {
  const what = (message as ClientMessage).message?.$case ?? "a message that is not known";
  return scope !== "read-only" || harmless.has(what) ? undefined : `a token that may only read sent "${what}"`;
}

/** An agent speaks for its own node alone. */
function ownNode(messages: unknown, { node }: TokenInfo): string | undefined {
  for (const { message } of (messages as AgentMessages).messages) {
    if (message?.$case !== "hello" || message.value.node?.name === node) continue;
    return `the agent of node ${node} said that it is ${message.value.node?.name ?? "nobody"}`;
  }
  return undefined;
}

export const rights: Record<Path, Right> = {
  "/hob.v1.Calls/Session": { ...reading, refuses: readsOnly },
  "/hob.v1.Calls/ListCalls": reading,
  "/hob.v1.Calls/Logs": reading,
  "/hob.v1.Calls/Map": both,
  "/hob.v1.Calls/ListMaps": reading,
  "/hob.v1.Calls/Inspect": client,
  "/hob.v1.Registry/ListFunctions": reading,
  "/hob.v1.Content/Missing": both,
  "/hob.v1.Content/Put": both,
  "/hob.v1.Content/Get": both,
  "/hob.v1.Content/Fetch": agent,
  "/hob.v1.Content/GetTrace": agent,
  "/hob.v1.Fleet/Get": reading,
  "/hob.v1.Fleet/WatchFleet": reading,
  "/hob.v1.Fleet/ListImages": reading,
  "/hob.v1.Fleet/Shutdown": owner,
  "/hob.v1.Deployments/Deploy": client,
  "/hob.v1.Deployments/ListApps": reading,
  "/hob.v1.Deployments/History": reading,
  "/hob.v1.Deployments/Retire": client,
  "/hob.v1.Schedules/ListSchedules": reading,
  "/hob.v1.Schedules/RunSchedule": client,
  "/hob.v1.Schedules/PauseSchedule": client,
  "/hob.v1.Secrets/SetSecret": client,
  "/hob.v1.Secrets/ListSecrets": reading,
  "/hob.v1.Secrets/RemoveSecret": client,
  "/hob.v1.Agents/Link": { ...agent, refuses: ownNode },
  "/hob.v1.Shells/Open": client,
  "/hob.v1.Shells/Attach": agent,
  "/hob.v1.Images/Build": client,
  "/hob.v1.Images/Keep": client,
  "/hob.v1.Images/List": reading,
  "/hob.v1.Images/Show": reading,
  "/hob.v1.Images/Remove": client,
  "/hob.v1.Images/Collect": client,
  "/hob.v1.Members/WhoAmI": { scopes: ["client", "read-only", "agent", "join"] },
  "/hob.v1.Members/Join": { scopes: ["join"] },
  "/hob.v1.Members/CreateToken": owner,
  "/hob.v1.Members/ListTokens": owner,
  "/hob.v1.Members/RevokeToken": owner,
  "/hob.v1.Members/ChangeNode": client,
};
