// ④ Simple placements, on the same machines: a node for each call by chance, by turns, or the least loaded; there a waiting container of its function, else a new one.

import { reserveOf } from "../../control/scheduler/room.ts";
import type { Load, LoadCall } from "./load.ts";
import { createWorld, type Machine, type Outcome } from "./machines.ts";

type Choose = (machines: readonly Machine[], waiting: (machine: Machine) => number, n: number) => Machine;

export const rivals: Record<string, Choose> = {
  random: (machines, _waiting, n) => machines[scattered(n, machines.length)]!,
  "round robin": (machines, _waiting, n) => machines[n % machines.length]!,
  "least loaded": (machines, waiting) => {
    let best = machines[0]!;
    let least = Number.POSITIVE_INFINITY;
    for (const machine of machines) {
      const load = (machine.running + waiting(machine)) / machine.cores;
      if (load < least) [best, least] = [machine, load];
    }
    return best;
  },
};

/** Looks like chance, and is the same in each run. */
const scattered = (n: number, length: number): number => (Math.imul(n + 1, 0x9e3779b1) >>> 7) % length;

/** One machine's containers and the calls that wait for room there. */
interface Stand {
  idle: Map<string, LoadCall[]>; // the last call of each container, by function
  queue: LoadCall[];
}

export function simulateRival(load: Load, nodes: number, choose: Choose): Outcome {
  const world = createWorld(load, nodes);
  const stands = new Map(world.machines.map((machine): [Machine, Stand] => [machine, { idle: new Map(), queue: [] }]));
  const waiting = (machine: Machine): number => stands.get(machine)!.queue.length;

  const fits = (machine: Machine, { of }: LoadCall): boolean => {
    const { cpu, memoryBytes } = reserveOf(of.classKey);
    const elastic = cpu === 0 && memoryBytes === 0;
    if (elastic) return machine.running < 2 * machine.cores;
    return machine.cpu + cpu <= machine.cores && machine.reservedBytes + memoryBytes <= machine.memoryBytes;
  };

  /** Ends a container that is idle, for its room. */
  function evict(machine: Machine): boolean {
    for (const [key, list] of stands.get(machine)!.idle) {
      const one = list.shift();
      if (list.length === 0) stands.get(machine)!.idle.delete(key);
      if (!one) continue;
      world.hold(machine, one.of, -1);
      return true;
    }
    return false;
  }

  function begin(machine: Machine, call: LoadCall, cold: boolean): void {
    world.run(machine, call, cold, () => {
      const { idle, queue } = stands.get(machine)!;
      idle.set(call.of.key, [...(idle.get(call.of.key) ?? []), call]);
      for (let next = queue.shift(); next; next = queue.shift()) {
        if (take(machine, next)) continue;
        queue.unshift(next);
        break;
      }
    });
  }

  function take(machine: Machine, call: LoadCall): boolean {
    const { idle } = stands.get(machine)!;
    const list = idle.get(call.of.key);
    if (list && list.length > 0) {
      list.pop();
      begin(machine, call, false);
      return true;
    }
    while (!fits(machine, call)) if (!evict(machine)) return false;
    world.hold(machine, call.of, 1);
    world.after(world.start(machine, call.of.image), () => begin(machine, call, true));
    return true;
  }

  for (const [n, call] of load.calls.entries()) {
    world.after(call.atMs, () => {
      const machine = choose(world.machines, waiting, n);
      if (!take(machine, call)) stands.get(machine)!.queue.push(call);
    });
  }
  world.play(() => {});
  return world.outcome;
}
