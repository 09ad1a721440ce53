// ③ What is deployed and what the clock calls, asked of control when somebody looks; and the deployment of what runs here.

import { DeploymentsClient, type ExpectedVersion, type ListAppsResponse } from "../proto/gen/hob/v1/deployments.ts";
import { type ListSchedulesResponse, SchedulesClient } from "../proto/gen/hob/v1/schedules.ts";
import { fromServiceError } from "../proto/status.ts";
import { type Deployed, deployWith } from "./deploying.ts";
import type { DescribedFunction } from "./describe/changes.ts";
import type { Operations } from "./events.ts";
import type { Session } from "./session.ts";

type Answer<T> = (error: unknown, answer: T) => void;

const answerOf = <T>(ask: (done: Answer<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => ask((error, answer) => (error ? reject(fromServiceError(error)) : resolve(answer))));

interface Parts {
  session: Pick<Session, "clientOf">;
  /** Resolves once control has the app's code; rejects when that is refused. */
  settled: { of(app: string): Promise<unknown> };
  /** The project's functions by key, as they were described last. */
  latest(): ReadonlyMap<string, DescribedFunction>;
  /** Digest of the version that serves. */
  serving(key: string): string | undefined;
}

export function createOperations({ session, settled, latest, serving }: Parts): {
  operations(): Promise<Operations>;
  deploy(app: string): Promise<Deployed>;
} {
  const expected = (app: string): ExpectedVersion[] =>
    [...latest()].flatMap(([key, { spec, digest }]) =>
      spec.app === app ? { function: spec.name, digest: serving(key) ?? digest } : [],
    );

  return {
    async operations() {
      const [deployments, schedules] = [session.clientOf(DeploymentsClient), session.clientOf(SchedulesClient)];
      const [{ apps }, listed] = await Promise.all([
        answerOf<ListAppsResponse>((done) => deployments.listApps({}, done)),
        answerOf<ListSchedulesResponse>((done) => schedules.listSchedules({ app: "", function: "" }, done)),
      ]);
      return { apps, schedules: listed.schedules };
    },
    async deploy(app) {
      await settled.of(app);
      const request = { app, functions: expected(app) };
      return deployWith(session.clientOf(DeploymentsClient), request, new AbortController().signal, () => {});
    },
  };
}
