// ④ The Deployments service: what clients ask of deployments, and how each is answered.

import { HobError } from "../../base/errors.ts";
import { isDeployment } from "../../proto/app-name.ts";
import type { AppInfo, DeployEvent, DeploymentsServer } from "../../proto/gen/hob/v1/deployments.ts";
import { toServiceError } from "../../proto/status.ts";
import { callerOf } from "../access/gate.ts";
import { unknownSentence } from "../arguments.ts";
import type { Clients } from "../clients.ts";
import type { Registry } from "../registry.ts";
import type { Turn } from "../turn.ts";
import type { Deployments } from "./deployments.ts";
import type { DeploymentRecords } from "./records.ts";

interface ServiceParts {
  deployments: Deployments;
  records: DeploymentRecords;
  registry: Pick<Registry, "apps" | "current">;
  clients: Clients;
  turn: Pick<Turn, "toClient">;
}

type Event = NonNullable<DeployEvent["event"]>;

export function createDeploymentsService({ deployments, records, registry, clients, turn }: ServiceParts): DeploymentsServer {
  const published = (): string[] => registry.apps().filter((app) => !isDeployment(app));

  function infoOf(app: string): AppInfo {
    const current = registry.current(app);
    const live = records.live(app);
    const digests = new Map(live?.functions.map(({ version }) => [version!.function, version!.digest]));
    const changed = live ? current.filter((version) => digests.get(version.function) !== version.digest).length : 0;
    return { app, functions: current.length, live: live && { ...live, live: true }, changed };
  }

  return {
    deploy(stream) {
      const { request, metadata } = stream;
      const token = callerOf(metadata)?.token;
      const leave = clients.enter();
      let giveUp = (): void => {};
      const end = (): void => {
        giveUp();
        leave();
      };
      const tell = (event: Event): void => void stream.write({ event });
      const fail = (error: unknown): void => {
        stream.emit("error", toServiceError(error));
      };
      stream.once("cancelled", end);
      stream.once("finish", leave);
      try {
        giveUp = deployments.deploy(
          { ...request, by: token ? `${request.by} (token ${token})` : request.by },
          {
            warming: (number, waiting, total) => tell({ $case: "warming", value: { number, waiting, total } }),
            deployed(value) {
              giveUp = () => {};
              tell({ $case: "deployed", value });
              stream.end();
            },
            unchanged(value) {
              tell({ $case: "unchanged", value });
              stream.end();
            },
            failed: fail,
          },
        );
      } catch (error) {
        fail(error);
      }
    },
    listApps(_call, callback) {
      const apps = [...new Set([...published(), ...records.apps()])].sort();
      callback(null, { apps: apps.map(infoOf) });
    },
    history({ request: { app } }, callback) {
      const { kept, live } = records.of(app);
      if (kept.length === 0) {
        const known = [...new Set([...published(), ...records.apps()])];
        const sentence = known.includes(app) ? `${app} has never been deployed` : unknownSentence("app", app, known, "");
        callback(toServiceError(new HobError("notFound", sentence)));
        return;
      }
      const deployments = kept.map((deployment) => ({ ...deployment, live: deployment.number === live }));
      callback(null, { deployments: deployments.reverse() });
    },
    retire({ request: { app } }, callback) {
      try {
        const number = deployments.retire(app);
        turn.toClient(() => callback(null, { number }));
      } catch (error) {
        callback(toServiceError(error));
      }
    },
  };
}
