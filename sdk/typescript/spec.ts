// ② What a function declares, checked: options to the plain object that `hob` reads.

import type { EndpointSpec } from "./endpoint.ts";
import { Image, type ImageDefinition } from "./image.ts";
import { type BackoffSpec, type Retries, retryPolicy } from "./retries.ts";
import type { Cron, Period, ScheduleDefinition } from "./schedule.ts";

export interface FunctionOptions {
  /** The name under which it is called; by default that of the constant it is assigned to. */
  name?: string;
  image?: Image;
  /** Cores. */
  cpu?: number;
  /** "512MiB", or bytes: the container's hard limit. */
  memory?: string | number;
  /** "any", a model ("H100"), each with a count ("H100:2"). */
  gpu?: string;
  /** Seconds, for each attempt. */
  timeout?: number;
  /** Attempts beyond the first, and what they wait: `2`, or `{ count: 3, delay: "1s", backoff: 2, maxDelay: "60s" }`. */
  retries?: number | Retries;
  minContainers?: number;
  maxContainers?: number;
  /** Kept ready beyond those that are busy. */
  bufferContainers?: number;
  /** Calls that one container runs at a time. */
  concurrency?: number;
  /** Seconds: a container with nothing to do for so long ends. */
  idleTimeout?: number;
  network?: "internet" | "none";
  /** Names, found in the environment. */
  secrets?: readonly string[];
  /** When the live deployment calls it by itself: `new Cron("0 3 * * *")`, `new Period({ minutes: 5 })`. */
  schedule?: Cron | Period;
}

/** Names as in the Python SDK and on the wire. */
export interface FunctionSpec {
  name: string;
  image: ImageDefinition;
  cpu: number;
  memory_bytes: number;
  gpu: string;
  timeout_ms: number;
  retries: number;
  backoff: BackoffSpec | null;
  min_containers: number;
  max_containers: number;
  buffer_containers: number;
  concurrency: number;
  idle_timeout_ms: number;
  network: string;
  secrets: string[];
  schedule: ScheduleDefinition | null;
  endpoint?: EndpointSpec;
}

const known: Record<keyof FunctionOptions, true> = {
  name: true,
  image: true,
  cpu: true,
  memory: true,
  gpu: true,
  timeout: true,
  retries: true,
  minContainers: true,
  maxContainers: true,
  bufferContainers: true,
  concurrency: true,
  idleTimeout: true,
  network: true,
  secrets: true,
  schedule: true,
};

/** Throws TypeError or RangeError, with one sentence that quotes the option as it was written. */
export function makeSpec(name: string, options: FunctionOptions): FunctionSpec {
  for (const option of Object.keys(options)) {
    if (!Object.hasOwn(known, option))
      throw new TypeError(`"${option}" is not an option of a function; there are ${Object.keys(known).join(", ")}`);
  }
  const { image = Image.host(), gpu = "", minContainers = 0, maxContainers = 0 } = options;
  const { network = "internet", secrets = [] } = options;
  // Not instanceof: each bundle has its own copy of the class.
  if (typeof image?.definition?.source !== "string") throw new TypeError("image is not an image; write for example Image.host()");
  if (typeof gpu !== "string" || !gpuText.test(gpu))
    throw new TypeError(`gpu "${gpu}" is not a GPU; write for example "any", "H100" or "H100:2"`);
  if (network !== "internet" && network !== "none")
    throw new TypeError(`network "${network}" is not a network; there are "internet" and "none"`);
  if (!Array.isArray(secrets) || !secrets.every((secret) => typeof secret === "string" && secretName.test(secret)))
    throw new TypeError(`secrets is not a list of names; write for example ["API_KEY"]`);
  if (options.schedule !== undefined && typeof options.schedule?.definition?.period_ms !== "number")
    throw new TypeError('schedule is no schedule; write for example new Cron("0 3 * * *") or new Period({ minutes: 5 })');
  const least = count("minContainers", minContainers);
  const most = count("maxContainers", maxContainers);
  if (most > 0 && least > most)
    throw new RangeError(`minContainers ${least} is more than maxContainers ${most}; lower the one or raise the other`);
  const concurrency = count("concurrency", options.concurrency ?? 1);
  if (concurrency < 1 || concurrency > 64)
    throw new RangeError(`concurrency ${concurrency} is out of range; give 1 to 64 calls at a time`);
  return {
    name,
    image: image.definition,
    cpu: number("cpu", options.cpu, "cores", 0.5),
    memory_bytes: memoryBytes(options.memory ?? "512MiB"),
    gpu,
    timeout_ms: Math.round(number("timeout", options.timeout, "seconds", 30) * 1000),
    ...retryPolicy(options.retries ?? 0),
    min_containers: least,
    max_containers: most,
    buffer_containers: count("bufferContainers", options.bufferContainers ?? 0),
    concurrency,
    idle_timeout_ms: Math.round(number("idleTimeout", options.idleTimeout, "seconds", 300) * 1000),
    network,
    secrets: [...new Set(secrets)].sort(),
    schedule: options.schedule?.definition ?? null,
  };
}

const gpuText = /^(?:|(?:any|[A-Za-z][A-Za-z0-9._ -]*?)(?::[1-9]\d{0,2})?)$/;
const secretName = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const powers: Record<string, number> = { B: 0, K: 1, M: 2, G: 3, T: 4 };
const smallestMemory = 16 << 20; // below it no interpreter starts

function memoryBytes(memory: string | number): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B|B)\s*$/i.exec(String(memory));
  if (typeof memory !== "number" && !match) throw new TypeError(`memory "${memory}" is not a size; write for example "512MiB"`);
  const [, digits = "", letter = "B", binary = ""] = match ?? [];
  const size =
    typeof memory === "number"
      ? memory
      : Math.round(Number(digits) * (binary ? 1024 : 1000) ** (powers[letter.toUpperCase()] ?? 0));
  if (!Number.isSafeInteger(size))
    throw new TypeError(`memory ${memory} is not a whole number of bytes; write for example "512MiB"`);
  if (size < smallestMemory)
    throw new RangeError(`memory ${memory} is ${size} bytes, too little for any runtime; give at least 16MiB`);
  return size;
}

function number(option: string, value: number | undefined, unit: string, example: number): number {
  if (value === undefined) return 0;
  if (typeof value !== "number" || !(value > 0 && value < 1e6)) {
    throw new RangeError(
      `${option} ${String(value)} is not a positive number of ${unit}; write for example ${option}: ${example}`,
    );
  }
  return value;
}

function count(option: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${option} ${String(value)} is not a whole number of 0 or more`);
  return value;
}
