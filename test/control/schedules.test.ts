// Schedules of live deployments, with control in this process: each firing is one call, over restarts, pauses and deployments.

import { expect, test } from "vitest";
import { answered, soon } from "../../cli/answered.ts";
import { openDeploymentsPool } from "../../cli/deployments-client.ts";
import { CallsClient, type ListCallsResponse } from "../../proto/gen/hob/v1/calls.ts";
import type { Publish } from "../../proto/gen/hob/v1/registry.ts";
import {
  type ListSchedulesResponse,
  type PauseScheduleResponse,
  type RunScheduleResponse,
  type ScheduleInfo,
  SchedulesClient,
} from "../../proto/gen/hob/v1/schedules.ts";
import { channelOptions, clientCredentials, unixAddress } from "../../proto/transport.ts";
import { type AgentScript, linkAgent } from "./agent-double.ts";
import {
  Arrivals,
  kill,
  makePlace,
  makePublish,
  openSession,
  type Place,
  publishAndLoad,
  spawnControl,
  startControl,
} from "./harness.ts";

const never = new AbortController().signal;
const quiet = (): void => {};

function publishOf(text: string, schedule: object | undefined, id: number): Publish {
  const publish = makePublish(text, [{ name: "tick" }, { name: "price" }], { id });
  const { spec } = publish.versions[0]!;
  Object.assign(spec!, {
    parameters: [],
    schedule: schedule && { cron: "", timeZone: "", periodMs: 0, missed: "all", ...schedule },
  });
  return publish;
}

function openSchedules(place: Place) {
  const address = unixAddress(place.socket);
  const client = new SchedulesClient(address, clientCredentials(address), channelOptions);
  const calls = new CallsClient(address, clientCredentials(address), channelOptions);
  return {
    list: async (): Promise<ScheduleInfo[]> =>
      (await answered<ListSchedulesResponse>((done) => client.listSchedules({ app: "shop", function: "" }, ...soon(), done)))
        .schedules,
    run: (name: string) =>
      answered<RunScheduleResponse>((done) => client.runSchedule({ app: "shop", function: name }, ...soon(), done)),
    pause: (paused: boolean) =>
      answered<PauseScheduleResponse>((done) => client.pauseSchedule({ app: "shop", function: "tick", paused }, ...soon(), done)),
    calls: async (app: string) =>
      (
        await answered<ListCallsResponse>((done) =>
          calls.listCalls(
            { app, function: "tick", limit: 1000, id: "", number: 0, state: "", sinceMs: 0, parent: "" },
            ...soon(),
            done,
          ),
        )
      ).calls,
    [Symbol.dispose]() {
      client.close();
      calls.close();
    },
  };
}

/** An agent that tells of each call of `tick`. */
function ticking(): { script: AgentScript; ticks: Arrivals<{ call: string; app: string }> } {
  const ticks = new Arrivals<{ call: string; app: string }>();
  return {
    ticks,
    script: {
      dispatch(agent, dispatch) {
        if (dispatch.load) agent.loaded(dispatch.load);
        agent.succeed(dispatch, 1);
        if (dispatch.version!.function === "tick") ticks.add({ call: dispatch.call, app: dispatch.app });
      },
    },
  };
}

const count = (ticks: Arrivals<unknown>, wanted: number) => ticks.of(() => ticks.all.length >= wanted);

test("a cron every second fires once each, over a kill of control and a new deployment; nothing fires that is not deployed", async () => {
  using place = makePlace();
  const { script, ticks } = ticking();
  const control = await spawnControl(place);
  {
    using session = openSession(place.socket);
    using _agent = linkAgent(place.socket, script);
    using schedules = openSchedules(place);
    using pool = openDeploymentsPool(unixAddress(place.socket));
    await publishAndLoad(session, publishOf("v1", { cron: "* * * * * *" }, 1));
    expect(await schedules.list()).toMatchObject([{ function: "tick", deployment: 0, nextMs: 0, firings: [] }]);
    await expect(schedules.run("tick")).rejects.toThrow(
      "shop is not deployed, and only what is deployed fires: deploy it: hob deploy",
    );
    await pool.deploy({ app: "shop" }, never, quiet);
    await count(ticks, 2);
  }
  await kill(control);
  await using _second = await startControl(place);
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket, script);
  using schedules = openSchedules(place);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  await count(ticks, 4);
  await publishAndLoad(session, publishOf("v2", { cron: "* * * * * *" }, 2));
  await pool.deploy({ app: "shop" }, never, quiet);
  await ticks.of(({ app }) => app === "shop@2");

  await expect(schedules.run("price")).rejects.toThrow("deployment 2 of shop has no function price with a schedule");
  const { call } = await schedules.run("tick");
  await ticks.of((tick) => tick.call === call);
  expect(await schedules.pause(true)).toEqual({ nextMs: 0 });
  const [paused] = await schedules.list();
  expect(paused).toMatchObject({ deployment: 2, paused: true, nextMs: 0 });
  const { firings } = paused!;
  expect(firings.find(({ kind }) => kind === "hand")).toMatchObject({ call, outcome: { origin: "schedule" } });
  // Every second from the first to the last, none twice and none left out.
  const due = firings.filter(({ kind }) => kind !== "hand").map(({ dueMs }) => dueMs);
  expect(due.toReversed()).toEqual(due.map((_, i) => due.at(-1)! + i * 1_000));
  const made = [...(await schedules.calls("shop@1")), ...(await schedules.calls("shop@2"))].map(({ id }) => id);
  expect([...made].sort()).toEqual(firings.map((firing) => firing.call).sort());
  // An attempt that was on its way when control was killed may have been made again, of the same call.
  expect(new Set(ticks.all.map((tick) => tick.call))).toEqual(new Set(made));

  expect((await schedules.pause(false)).nextMs).toBeGreaterThan(Date.now() - 1_000);
  const before = ticks.all.length;
  await count(ticks, before + 1);
  await pool.retire("shop");
  expect(await schedules.list()).toMatchObject([{ deployment: 0, firings: [] }]);
});

test("a period counts on over deployments that keep it, and begins anew where it changes", async () => {
  using place = makePlace();
  await using _control = await startControl(place);
  using session = openSession(place.socket);
  using _agent = linkAgent(place.socket);
  using schedules = openSchedules(place);
  using pool = openDeploymentsPool(unixAddress(place.socket));
  const next = async (text: string, periodMs: number, id: number): Promise<number> => {
    await publishAndLoad(session, publishOf(text, { periodMs }, id));
    await pool.deploy({ app: "shop" }, never, quiet);
    return (await schedules.list())[0]!.nextMs;
  };
  const first = await next("v1", 3_600_000, 1);
  expect(first).toBeGreaterThan(Date.now() + 3_590_000);
  expect(await next("v2", 3_600_000, 2)).toBe(first);
  expect(await next("v3", 7_200_000, 3)).toBeGreaterThan(first + 3_590_000);
});
