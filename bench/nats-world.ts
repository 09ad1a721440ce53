// Seven machines as network namespaces: three servers of NATS, two controls, two real agents; and what is done to them while a map and a cron run.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, createWriteStream, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as after } from "node:timers/promises";
import { answered, soon } from "../cli/answered.ts";
import { type CreateTokenResponse, MembersClient } from "../proto/gen/hob/v1/members.ts";
import { type ListSchedulesResponse, SchedulesClient } from "../proto/gen/hob/v1/schedules.ts";
import { channelOptions, clientCredentials, unixAddress } from "../proto/transport.ts";
import { type Machine, type Machines, makeMachines } from "../test/container/machines.ts";

const port = 7474;
const awayMs = 1_000; // of what was killed
const cutMs = 7_000; // longer than the lease

export interface World extends AsyncDisposable {
  /** hob://A:7474,B:7474, for a client that has logged in on the hub. */
  readonly address: string;
  hob(args: string[], input?: string): Promise<{ code: number | null; out: string }>;
  start(args: string[]): ChildProcess;
  /** Does something to somebody and mends it again; says what. */
  fault(random: () => number): Promise<string>;
  /** Due times of the firings by the call that each made; empty where no control answers just now. */
  firings(): Promise<Map<string, number>>;
}

type Role = "nats" | "control" | "agent";

interface Member {
  role: Role;
  machine: Machine;
  begin(): void;
}

/** Of the processes that have all of these words, the last that was started. */
function pidOf(...words: string[]): number | undefined {
  const found = readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      return words.every((word) => line.includes(word)) && line[0] !== "nsenter";
    } catch {
      return false; // it has just ended
    }
  });
  return found.length === 0 ? undefined : Math.max(...found.map(Number));
}

export async function makeWorld(folder: string, say: (text: string) => void): Promise<World> {
  const names = ["s1", "s2", "s3", "a", "b", "n1", "n2"];
  const machines: Machines = await makeMachines(folder, names);
  const of = (name: string): Machine => machines.nodes.find((machine) => machine.name === name)!;
  const urls = ["s1", "s2", "s3"].map((name) => of(name).address);
  const engine = `nats://${urls.map((host) => `${host}:4222`).join(",")}`;
  const places = ["a", "b"].map((name) => `${of(name).address}:${port}`);
  const address = `hob://${places.join(",")}`;
  const socket = (name: string): string => join(folder, `${name}.sock`);
  const state = (name: string): string => join(folder, `${name}-state`);

  const beginNats = (name: string) => (): void => {
    const host = of(name).address;
    const routes = urls.map((other) => `nats://${other}:6222`).join(",");
    const cluster = ["--cluster_name", "hob", "--cluster", `nats://${host}:6222`, "--routes", routes];
    of(name).run("nats-server", ["-a", host, "-p", "4222", "-js", "-sd", join(folder, name), "-n", name, ...cluster]);
  };
  const beginControl = (name: string) => (): void => {
    const own = `${of(name).address}:${port}`;
    const advertised = [own, ...places.filter((place) => place !== own)].join(",");
    const listen = ["--listen", socket(name), "--listen", own, "--advertise", advertised];
    const child = of(name).start(["control", "--engine", engine, ...listen, "--state", state(name)]);
    child.stdout!.resume();
    child.stderr!.pipe(createWriteStream(join(folder, `${name}.log`), { flags: "a" }));
  };
  const beginAgent = (name: string) => (): void => {
    of(name).start(["agent", "--control", address, "--name", name]).stdout!.resume();
  };
  const members = new Map<string, Member>(
    names.map((name) => {
      const role: Role = name.startsWith("s") ? "nats" : name.startsWith("n") ? "agent" : "control";
      const begin = { nats: beginNats, control: beginControl, agent: beginAgent }[role](name);
      return [name, { role, machine: of(name), begin }];
    }),
  );
  const words = {
    nats: (name: string) => ["nats-server", name],
    control: (name: string) => ["control", socket(name)],
    agent: (name: string) => ["--own-mounts", name],
  };

  async function token(scope: string): Promise<string> {
    for (;;) {
      for (const name of ["a", "b"]) {
        const client = new MembersClient(unixAddress(socket(name)), clientCredentials(unixAddress(socket(name))), channelOptions);
        try {
          const wish = { scope, note: "", expiresInMs: 600_000 };
          return (await answered<CreateTokenResponse>((done) => client.createToken(wish, ...soon(), done))).url;
        } catch {
          await after(300); // not there yet
        } finally {
          client.close();
        }
      }
    }
  }

  async function hob(args: string[], input?: string): Promise<{ code: number | null; out: string }> {
    const child = machines.hub.start(args, input);
    const [out, [code]] = await Promise.all([text(child.stdout!), once(child, "close") as Promise<[number | null]>]);
    return { code, out };
  }

  for (const name of ["s1", "s2", "s3", "a"]) members.get(name)!.begin();
  const join1 = await token("join");
  mkdirSync(state("b"), { recursive: true, mode: 0o700 });
  for (const key of ["secrets.key", "access/authority.key", "access/authority.crt"])
    cpSync(join(state("a"), key), join(state("b"), key));
  members.get("b")!.begin();
  for (const name of ["n1", "n2"]) {
    const child = of(name).start(["agent", "--join", "-", "--join-only", "--name", name], await token("join"));
    child.stdout!.resume();
    await once(child, "close");
    members.get(name)!.begin();
  }
  say(`  ${join1.replace(/^.*@/, "").replace(/\/.*/, "")}`);
  const login = await hob(["login", "-"], await token("client"));
  if (login.code !== 0) throw new Error(`nats: logging in failed: ${login.out}`);

  async function kill(name: string): Promise<string> {
    const member = members.get(name)!;
    const pid = pidOf(...words[member.role](name));
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    await after(awayMs);
    member.begin();
    return `kill -9 of ${name}`;
  }

  async function cut(name: string): Promise<string> {
    of(name).cut();
    await after(cutMs);
    of(name).plug();
    return `link of ${name} cut for ${cutMs / 1000} s`;
  }

  return {
    address,
    hob,
    start: (args) => machines.hub.start(args),
    async fault(random) {
      const name = names[Math.floor(random() * names.length)]!;
      return random() < 0.7 ? kill(name) : cut(name);
    },
    async firings() {
      for (const name of ["a", "b"]) {
        const client = new SchedulesClient(
          unixAddress(socket(name)),
          clientCredentials(unixAddress(socket(name))),
          channelOptions,
        );
        try {
          const { schedules } = await answered<ListSchedulesResponse>((done) =>
            client.listSchedules({ app: "fire", function: "" }, ...soon(), done),
          );
          return new Map(schedules.flatMap(({ firings }) => firings.map(({ call, dueMs }) => [call, dueMs] as const)));
        } catch {
          // it is the other's turn
        } finally {
          client.close();
        }
      }
      return new Map();
    },
    async [Symbol.asyncDispose]() {
      for (const name of ["n1", "n2"]) {
        const pid = pidOf(...words.agent(name));
        if (pid !== undefined) process.kill(pid, "SIGTERM");
      }
      await after(3_000); // for their containers; who is late ends with its machine
      machines[Symbol.dispose]();
    },
  };
}
