// ④ A deployment from its request to the switch: its versions are put in place beside what is live, and only then is it what callers get.

import { HobError } from "../../base/errors.ts";
import { deploymentName, isDeployment } from "../../proto/app-name.ts";
import type { Failure, Version } from "../../proto/gen/hob/v1/common.ts";
import { type DeployedFunction, Deployment, type DeployRequest } from "../../proto/gen/hob/v1/deployments.ts";
import { hostImageRef, imageKey } from "../../proto/image.ts";
import type { Publisher, Publishes } from "../publishes.ts";
import type { Registry } from "../registry.ts";
import type { Turn } from "../turn.ts";
import type { Pins } from "./pins.ts";
import { changesBetween, checkExpected, rollbackTarget } from "./plan.ts";
import type { DeploymentRecords } from "./records.ts";
import type { Warmth } from "./warmth.ts";

/** Who has asked for a deployment, and hears how it goes. */
interface Asker {
  warming(number: number, waiting: string[], total: number): void;
  deployed(deployment: Deployment): void;
  unchanged(live: Deployment): void;
  failed(error: HobError): void;
}

export interface Deployments extends Disposable {
  /** Answers how to give it up. Throws a HobError for what cannot be deployed. */
  deploy(request: DeployRequest, asker: Asker): () => void;
  /** Nothing of the app is live any more. Answers the number of what was. */
  retire(app: string): number;
}

interface DeploymentsParts {
  records: DeploymentRecords;
  registry: Pick<Registry, "apps" | "current" | "forget">;
  publishes: Pick<Publishes, "promote" | "withdraw">;
  /** Digest of the image of that key; "" where it is not known. */
  imageDigest(key: string): string;
  pins: Pick<Pins, "pinned">;
  warmth: Warmth;
  turn: Pick<Turn, "stuck" | "toClient" | "wake">;
  now(): number;
  /** Another deployment of the app is live from now on, or none. */
  switched(app: string): void;
}

interface Pending {
  app: string;
  number: number;
  request: DeployRequest;
  versions: Version[];
  /** The deployment of which these are the versions; 0: none. */
  of: number;
  /** As that deployment had them. */
  source: readonly DeployedFunction[];
  waiting: Set<string>;
  asker: Asker;
  /** Looks whether there are containers enough. */
  looking: NodeJS.Timeout | undefined;
}

/** Once all code is in place somewhere, more containers are waited for so long. */
const enoughMs = 5_000;
const lookEveryMs = 25;

/** Before anything is made of what the registry holds: a control that died while a deployment warmed up has left that behind. */
export function forgetHalfDeployed(
  registry: Pick<Registry, "apps" | "current" | "publish" | "forget">,
  records: DeploymentRecords,
): void {
  const live = new Set(
    records.apps().flatMap((app) => (records.of(app).live > 0 ? [deploymentName(app, records.of(app).live)] : [])),
  );
  const known = new Set(records.apps().flatMap((app) => records.of(app).kept.map(({ number }) => deploymentName(app, number))));
  for (const name of registry.apps()) {
    if (!isDeployment(name) || live.has(name)) continue;
    registry.publish(
      name,
      "",
      [],
      registry.current(name).map((version) => version.function),
    );
    if (!known.has(name)) registry.forget(name);
  }
}

export function createDeployments(parts: DeploymentsParts): Deployments {
  const { records, registry, publishes, warmth, turn } = parts;
  const pending = new Map<string, Pending>(); // by app

  const imageOf = ({ spec }: Version): string => spec?.image?.digest || parts.imageDigest(imageKey(spec?.image ?? hostImageRef));
  const deployedOf = (versions: readonly Version[]): DeployedFunction[] =>
    versions.map((version) => ({ version, image: imageOf(version) }));

  function wished(request: DeployRequest): Pick<Pending, "versions" | "of" | "source"> {
    const { app } = request;
    if (request.rollBack) {
      const { kept, live } = records.of(app);
      const target = rollbackTarget(app, kept, live, request.rollBackTo);
      const source = target.functions;
      return { versions: source.map(({ version }) => version!), of: target.of || target.number, source };
    }
    const versions = registry.current(app);
    if (versions.length > 0) {
      checkExpected(app, versions, request.functions);
      return { versions, of: 0, source: [] };
    }
    throw new HobError("notFound", `the pool has no functions of an app ${app}`, {
      remedy: "hob deploy in the project's folder publishes them first",
    });
  }

  function deploy(request: DeployRequest, asker: Asker): () => void {
    const { app } = request;
    if (turn.stuck) throw turn.stuck;
    if (app === "" || isDeployment(app)) throw new HobError("usage", `"${app}" is no app that can be deployed`);
    const other = pending.get(app);
    if (other) {
      throw new HobError("precondition", `deployment ${other.number} of ${app} is under way (${other.request.by})`, {
        remedy: "wait for its end, or give it up where it was started",
      });
    }
    const { versions: wanted, of, source } = wished(request);
    const versions = parts.pins.pinned(wanted);
    const live = records.live(app);
    if (live && changesBetween(live.functions, deployedOf(versions)).length === 0) {
      turn.toClient(() => asker.unchanged({ ...live, live: true }));
      return () => {};
    }
    const number = records.nextNumber(app);
    const name = deploymentName(app, number);
    // Its own name, so that what is listed by app tells the two apart. Nothing else is other than what ran.
    const named = versions.map((version) => ({ ...version, spec: { ...version.spec!, app: name } }));
    const waiting = new Set(named.map((version) => version.function));
    const entry: Pending = { app, number, request, versions: named, of, source, waiting, asker, looking: undefined };
    pending.set(app, entry);
    publishes.promote(name, named, publisherFor(entry));
    if (live) warmth.raise(name, named, deploymentName(app, live.number));
    tell(entry);
    if (request.cold) turnOver(entry);
    turn.wake();
    return () => giveUp(entry);
  }

  const tell = ({ asker, number, waiting, versions }: Pending): void => {
    const names = [...waiting];
    turn.toClient(() => asker.warming(number, names, versions.length));
  };

  function publisherFor(entry: Pending): Publisher {
    return {
      published() {},
      reloaded({ functions, failure }) {
        if (pending.get(entry.app) !== entry) return;
        if (failure) {
          const error = refusal(entry, functions, failure);
          giveUp(entry);
          entry.asker.failed(error);
          return;
        }
        for (const name of functions) entry.waiting.delete(name);
        tell(entry);
        if (entry.waiting.size === 0) turnOverWhenEnough(entry, parts.now());
      },
    };
  }

  function turnOverWhenEnough(entry: Pending, sinceMs: number): void {
    const lacking = warmth.lacking(deploymentName(entry.app, entry.number));
    if (lacking === 0 || parts.now() - sinceMs > enoughMs) turnOver(entry);
    else entry.looking = setTimeout(() => turnOverWhenEnough(entry, sinceMs), lookEveryMs);
  }

  function refusal({ app, number }: Pending, functions: string[], { kind, type, message }: Failure): HobError {
    const live = records.of(app).live;
    const stays = live > 0 ? `deployment ${live} stays live` : "nothing is live";
    const what = `deployment ${number} of ${app} did not come up: ${functions.join(", ")}: ${type ? `${type}: ` : ""}${message}`;
    return new HobError(kind === "infrastructure" ? "unavailable" : "function", `${what}; ${stays}`);
  }

  function giveUp(entry: Pending): void {
    if (pending.get(entry.app) !== entry) return;
    pending.delete(entry.app);
    clearTimeout(entry.looking);
    const name = deploymentName(entry.app, entry.number);
    publishes.withdraw(name);
    registry.forget(name);
    turn.wake();
  }

  /** What callers get from now on; calls of the former deployment go on there. */
  function turnOver(entry: Pending): void {
    const { app, number, request, versions, of, asker } = entry;
    pending.delete(app);
    const before = records.live(app);
    const functions = deployedOf(versions);
    const { by, note } = request;
    const changes = changesBetween(before?.functions ?? [], functions);
    // Of a rollback also what is not as it was then: an image that was removed, and built anew.
    for (const change of changesBetween(entry.source, functions)) {
      if (change.kind === "image" && !changes.some((other) => other.function === change.function && other.kind === "image"))
        changes.push(change);
    }
    const deployment = Deployment.fromPartial({ app, number, atMs: parts.now(), by, note, of, functions, changes });
    for (const old of records.add(deployment)) registry.forget(deploymentName(app, old.number));
    if (before) publishes.withdraw(deploymentName(app, before.number));
    warmth.lower(deploymentName(app, number));
    parts.switched(app);
    turn.toClient(() => asker.deployed({ ...deployment, live: true }));
    turn.wake();
  }

  return {
    deploy,
    retire(app) {
      const live = records.live(app);
      if (!live) throw new HobError("precondition", `${app} has no live deployment`);
      records.retire(app);
      publishes.withdraw(deploymentName(app, live.number));
      parts.switched(app);
      turn.wake();
      return live.number;
    },
    [Symbol.dispose]() {
      for (const { looking } of pending.values()) clearTimeout(looking);
    },
  };
}
