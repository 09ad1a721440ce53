// ② What users import as "hob".

export { App, functionFromName } from "./app.ts";
export type { RemoteClass } from "./class.ts";
export { ArgumentsRefused, CallCancelled, CallTimeout, OutOfMemory, ProcessEnded, RemoteError } from "./errors.ts";
export type { Call, RemoteFunction } from "./function.ts";
export { Image } from "./image.ts";
export type { MapCall, MapOptions } from "./map.ts";
export type { Retries } from "./retries.ts";
export type { FunctionOptions, FunctionSpec } from "./spec.ts";
