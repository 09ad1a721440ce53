// ② What a function declares, checked: options to the plain object that `hob` reads.

/** Where a function's root filesystem comes from; immutable. */
export class Image {
  readonly source: string;

  private constructor(source: string) {
    this.source = source;
  }

  /** The agent's own Python and Node runtimes, captured once as a content-addressed image. */
  static host(): Image {
    return new Image("host");
  }
}

export interface FunctionOptions {
  /** The name under which it is called; by default that of the constant it is assigned to. */
  name?: string;
  image?: Image;
  /** Cores. */
  cpu?: number;
  /** "512MiB", or bytes: the container's hard limit. */
  memory?: string | number;
  gpu?: string;
  /** Seconds, for each attempt. */
  timeout?: number;
  /** Attempts beyond the first. */
  retries?: number;
  minContainers?: number;
  maxContainers?: number;
}

/** Names as in the Python SDK and on the wire. */
export interface FunctionSpec {
  name: string;
  image: { source: string };
  cpu: number;
  memory_bytes: number;
  gpu: string;
  timeout_ms: number;
  retries: number;
  min_containers: number;
  max_containers: number;
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
};

/** Throws TypeError or RangeError, with one sentence that quotes the option as it was written. */
export function makeSpec(name: string, options: FunctionOptions): FunctionSpec {
  for (const option of Object.keys(options)) {
    if (!Object.hasOwn(known, option))
      throw new TypeError(`"${option}" is not an option of a function; there are ${Object.keys(known).join(", ")}`);
  }
  const { image = Image.host(), gpu = "", minContainers = 0, maxContainers = 0 } = options;
  // Not instanceof: each bundle has its own copy of the class.
  if (typeof image?.source !== "string") throw new TypeError("image is not an image; write for example Image.host()");
  if (typeof gpu !== "string") throw new TypeError('gpu is not the name of a GPU; write for example "any"');
  const least = count("minContainers", minContainers);
  const most = count("maxContainers", maxContainers);
  if (most > 0 && least > most)
    throw new RangeError(`minContainers ${least} is more than maxContainers ${most}; lower the one or raise the other`);
  return {
    name,
    image: { source: image.source },
    cpu: number("cpu", options.cpu, "cores", 0.5),
    memory_bytes: memoryBytes(options.memory ?? "512MiB"),
    gpu,
    timeout_ms: Math.round(number("timeout", options.timeout, "seconds", 30) * 1000),
    retries: count("retries", options.retries ?? 0),
    min_containers: least,
    max_containers: most,
  };
}

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
