// ② What users import as "hob".

export { App } from "./app.ts";
export type { RemoteClass } from "./class.ts";
export type { FetchOptions } from "./endpoint.ts";
export { ArgumentsRefused, CallCancelled, CallTimeout, OutOfMemory, ProcessEnded, RemoteError } from "./errors.ts";
export { functionFromName } from "./from-name.ts";
export type { Call, RemoteFunction } from "./function.ts";
export { Image } from "./image.ts";
export type { MapCall, MapOptions } from "./map.ts";
export type { Retries } from "./retries.ts";
export { Cron, type Missed, Period, type PeriodOptions } from "./schedule.ts";
export type { FunctionOptions, FunctionSpec } from "./spec.ts";

/** Apps whose functions have types: `hob stubs APP` writes what adds to it. */
// biome-ignore lint/suspicious/noEmptyInterface: merged with what stubs declare
export interface Apps {}
