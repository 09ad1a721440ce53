// ② Where a fetch handler answers HTTP requests, checked: options to the plain object that `hob` reads.

import type { FunctionOptions } from "./spec.ts";

export interface FetchOptions extends FunctionOptions {
  /** Below the app's; by default "/NAME". It answers every request below it. */
  path?: string;
  /** true: everybody; false: only who has a token; by default everybody on this machine, and elsewhere who has a token. */
  public?: boolean;
  /** Bytes: 16 MiB by default, at most 64 MiB. */
  maxBody?: number;
}

/** Names as in the Python SDK and on the wire. */
export interface EndpointSpec {
  kind: string;
  path: string;
  methods: string[];
  access: string;
  max_body_bytes: number;
}

const segment = /^[A-Za-z0-9._~!$&'()*+,;=:@%-]+$/;
const largestBody = 64 << 20; // as of any call's arguments

/** Throws TypeError or RangeError, with one sentence that quotes the option as it was written. */
export function makeEndpoint({ path = "", public: open, maxBody = 0 }: FetchOptions, name: string): EndpointSpec {
  const given = path === "" ? `/${name}` : path;
  const segments = given.split("/").filter((part) => part !== "");
  if (!given.startsWith("/") || !segments.every((part) => segment.test(part)))
    throw new TypeError(`path "${path}" is not a path; write for example "/api"`);
  if (open !== undefined && typeof open !== "boolean")
    throw new TypeError(`public ${String(open)} is not true (everybody) or false (only with a token)`);
  if (!Number.isSafeInteger(maxBody) || maxBody < 0 || maxBody > largestBody)
    throw new RangeError(`maxBody ${String(maxBody)} is not a number of bytes up to 64 MiB`);
  return {
    kind: "fetch",
    path: `/${segments.join("/")}`,
    methods: [],
    access: open === undefined ? "" : open ? "public" : "token",
    max_body_bytes: maxBody,
  };
}
