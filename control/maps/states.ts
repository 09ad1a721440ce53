// ⑦ The life of a map. Pure.

import type { MapInfo } from "../../proto/gen/hob/v1/maps.ts";

/** `open`: inputs may still come. `closed`: all are recorded, not all have a result. */
export type MapState = "open" | "closed" | "succeeded" | "failed" | "cancelled";
export type MapEvent = "close" | "complete" | "fail" | "cancel";

/** Every move there is. */
const moves: Record<MapState, Partial<Record<MapEvent, MapState>>> = {
  open: { close: "closed", fail: "failed", cancel: "cancelled" },
  closed: { complete: "succeeded", fail: "failed", cancel: "cancelled" },
  succeeded: {},
  failed: {},
  cancelled: {},
};

/** The state after the event; undefined when the event comes too late and changes nothing. */
export const afterMapEvent = (state: MapState, event: MapEvent): MapState | undefined => moves[state][event];

/** As it is told, maps.proto. */
export const toldState = (state: MapState): string => (state === "open" || state === "closed" ? "running" : state);

export const stateOf = (info: MapInfo): MapState =>
  info.state !== "running" ? (info.state as MapState) : info.closed ? "closed" : "open";
