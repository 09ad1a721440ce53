// ④ The Fleet service: what the pool is doing, twice a second to whoever watches, and the order to end.

import type { Clock } from "../base/clock.ts";
import { HobError } from "../base/errors.ts";
import type { FleetSample, FleetServer, NodeInfo } from "../proto/gen/hob/v1/fleet.ts";
import { toServiceError } from "../proto/status.ts";
import type { Calls } from "./calls.ts";
import type { Clients } from "./clients.ts";
import type { Sharing } from "./images/sharing.ts";
import { createLatency } from "./latency.ts";
import type { Nodes } from "./nodes.ts";

const sampleMs = 500;

export interface Fleet extends Disposable {
  readonly service: FleetServer;
  sample(): FleetSample;
  /** Calls back twice a second until the returned function is called. */
  watch(listener: (sample: FleetSample) => void): () => void;
  callFinished(tookMs: number): void;
}

interface FleetParts {
  nodes: Nodes;
  calls: Pick<Calls, "queued" | "running">;
  clients: Clients;
  sharing: Sharing;
  /** Machines of the pool that are not connected. */
  absent(): NodeInfo[];
  clock: Clock;
  /** Ends an embedded pool; undefined for one that was started by hand. */
  shutdown: ((patienceMs: number) => void) | undefined;
}

export function createFleet(parts: FleetParts): Fleet {
  const { nodes, calls, clients, sharing, clock } = parts;
  const latency = createLatency();
  const listeners = new Set<(sample: FleetSample) => void>();
  let timer: NodeJS.Timeout | undefined;

  /** As people see them: with how much of each image is in others too. */
  function nodeInfos(): NodeInfo[] {
    const infos = [...nodes.all.values()].map((node) => nodes.infoOf(node));
    const shared = sharing.among(new Set(infos.flatMap(({ images }) => images.map(({ digest }) => digest))));
    for (const { images } of infos) for (const image of images) image.sharedBytes = shared.get(image.digest) ?? 0;
    return infos;
  }

  function sample(): FleetSample {
    const { p50, p99 } = latency.percentiles(clock.now());
    return {
      timeMs: clock.now(),
      nodes: [...nodeInfos(), ...parts.absent()],
      queued: calls.queued,
      running: calls.running,
      latencyP50Ms: p50,
      latencyP99Ms: p99,
      clients: clients.count,
    };
  }

  function watch(listener: (sample: FleetSample) => void): () => void {
    listeners.add(listener);
    timer ??= setInterval(() => {
      const now = sample();
      for (const each of listeners) each(now);
    }, sampleMs);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }

  const service: FleetServer = {
    get: (_call, callback) => callback(null, sample()),
    watchFleet(stream) {
      const leave = clients.enter();
      const stop = watch((now) => {
        if (!stream.writableNeedDrain) stream.write(now); // a slow reader gets the next one
      });
      const close = () => {
        stop();
        leave();
      };
      stream.once("cancelled", close);
      stream.once("finish", close);
      stream.write(sample());
    },
    listImages: (_call, callback) => {
      const images = nodeInfos().flatMap((node) => node.images.map((image) => ({ ...image, node: node.name })));
      callback(null, { images });
    },
    shutdown({ request }, callback) {
      if (parts.shutdown) {
        callback(null, {});
        parts.shutdown(request.patienceMs);
        return;
      }
      const remedy = "end it where it was started";
      callback(
        toServiceError(
          new HobError("precondition", "this control was started by hand and does not end for a client", { remedy }),
        ),
      );
    },
  };

  return {
    service,
    sample,
    watch,
    callFinished: (tookMs) => latency.add(clock.now(), tookMs),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
