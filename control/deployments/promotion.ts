// ④ What has to do with deployments, put together: promoting, the schedules of what is live, and both services.

import type { Clock } from "../../base/clock.ts";
import type { ContentFolder } from "../../base/content-folder.ts";
import { DeploymentsService } from "../../proto/gen/hob/v1/deployments.ts";
import { SchedulesService } from "../../proto/gen/hob/v1/schedules.ts";
import type { Calls } from "../calls.ts";
import type { Clients } from "../clients.ts";
import type { Records } from "../engine/engine.ts";
import type { ImageRecords } from "../images/records.ts";
import type { Work } from "../maps/map.ts";
import type { Nodes } from "../nodes.ts";
import type { Publishes } from "../publishes.ts";
import type { Registry } from "../registry.ts";
import type { Groups } from "../scheduler/groups.ts";
import { createSchedules } from "../schedules/schedules.ts";
import { createSchedulesService } from "../schedules/service.ts";
import type { listen } from "../server.ts";
import type { Turn } from "../turn.ts";
import { createDeployments } from "./deployments.ts";
import { createPins } from "./pins.ts";
import type { DeploymentRecords } from "./records.ts";
import { createDeploymentsService } from "./service.ts";
import { createWarmth } from "./warmth.ts";

interface PromotionParts {
  records: Records;
  deployed: DeploymentRecords;
  registry: Registry;
  publishes: Publishes;
  images: Pick<ImageRecords, "image">;
  blobs: Pick<ContentFolder, "has">;
  groups: Groups<Work>;
  nodes: Nodes;
  calls: Calls;
  clients: Clients;
  turn: Turn;
  clock: Clock;
}

export interface Promotion extends Disposable {
  readonly services: Parameters<typeof listen>[1];
}

export function createPromotion(parts: PromotionParts): Promotion {
  const { deployed, registry, groups, nodes, images, turn, clock } = parts;
  const deployments = createDeployments({
    ...{ records: deployed, registry, publishes: parts.publishes, turn, now: clock.now },
    warmth: createWarmth({ groups, nodes, registry, now: clock.now }),
    pins: createPins({ nodes, deployments: deployed, blobs: parts.blobs }),
    imageDigest: (key) => images.image(key)?.digest ?? "",
    switched: (app) => schedules.changed(app),
  });
  const schedules = createSchedules({ ...parts, deployments: deployed });
  return {
    services: [
      [DeploymentsService, createDeploymentsService({ ...parts, deployments, records: deployed })],
      [SchedulesService, createSchedulesService(schedules, turn)],
    ],
    [Symbol.dispose]() {
      schedules[Symbol.dispose]();
      deployments[Symbol.dispose]();
    },
  };
}
