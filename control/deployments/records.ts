// ④ The deployments of each app, as they are recorded: what each consists of never changes, which one is live does.

import { deploymentName, parseReference } from "../../proto/app-name.ts";
import { Deployment } from "../../proto/gen/hob/v1/deployments.ts";
import type { Records } from "../engine/engine.ts";

/** Of an app, so that there is something to go back to; what is live stays in any case. */
const deploymentsKept = 20;

interface AppDeployments {
  /** In the order of their numbers. */
  readonly kept: Deployment[];
  /** 0: none. */
  live: number;
  /** The highest number ever given. */
  last: number;
}

export interface DeploymentRecords {
  apps(): string[];
  of(app: string): Readonly<AppDeployments>;
  live(app: string): Deployment | undefined;
  /** Of all that are kept, as in deploymentName. */
  names(app: string): string[];
  /** Of "APP@live" the name of what is live, where anything is; any other name as it is. */
  liveName(name: string): string;
  /** A number that no deployment of the app has had, given up or not. */
  nextNumber(app: string): number;
  /** It is live from now on. Answers those that are not kept any more. */
  add(deployment: Deployment): Deployment[];
  retire(app: string): void;
}

const encodeState = ({ live, last }: AppDeployments): Uint8Array => Buffer.from(JSON.stringify({ live, last }));

export function createDeploymentRecords(records: Records): DeploymentRecords {
  const apps = new Map<string, AppDeployments>();
  const none: AppDeployments = { kept: [], live: 0, last: 0 };

  function entry(app: string): AppDeployments {
    const known = apps.get(app) ?? { kept: [], live: 0, last: 0 };
    apps.set(app, known);
    return known;
  }

  for (const { key, value } of records.list("deployments")) {
    Object.assign(entry(key), JSON.parse(Buffer.from(value).toString("utf8")));
  }
  for (const { value } of records.list("deployment")) {
    const deployment = Deployment.decode(value);
    entry(deployment.app).kept.push(deployment);
  }
  for (const { kept } of apps.values()) kept.sort((a, b) => a.number - b.number);

  const keyOf = ({ app, number }: Deployment): string => `${app}\n${number}`;

  function save(app: string): void {
    records.put("deployments", app, encodeState(entry(app)), records.get("deployments", app)?.revision ?? 0);
  }

  return {
    apps: () => [...apps].filter(([, { kept }]) => kept.length > 0).map(([app]) => app),
    of: (app) => apps.get(app) ?? none,
    live(app) {
      const { kept, live } = apps.get(app) ?? none;
      return live === 0 ? undefined : kept.find(({ number }) => number === live);
    },
    names: (app) => (apps.get(app) ?? none).kept.map(({ number }) => deploymentName(app, number)),
    liveName(name) {
      const reference = parseReference(name);
      const live = reference?.kind === "live" ? (apps.get(reference.app) ?? none).live : 0;
      return live > 0 ? deploymentName(reference!.app, live) : name;
    },
    nextNumber(app) {
      const own = entry(app);
      own.last++;
      save(app);
      return own.last;
    },
    add(deployment) {
      const own = entry(deployment.app);
      own.kept.push(deployment);
      own.live = deployment.number;
      records.put("deployment", keyOf(deployment), Deployment.encode(deployment).finish(), 0);
      save(deployment.app);
      const gone = own.kept.splice(0, Math.max(0, own.kept.length - deploymentsKept));
      for (const old of gone) records.remove("deployment", keyOf(old));
      return gone;
    },
    retire(app) {
      entry(app).live = 0;
      save(app);
    },
  };
}
