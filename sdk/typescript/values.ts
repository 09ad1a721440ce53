// ⑥ Values on their way: JavaScript values to the JSON of proto Value and back, naming what does not fit and where.

/** A value that JSON and its two tags cannot carry; the message says where it lies. */
export class EncodingError extends TypeError {
  override name = "EncodingError";
}

interface Path {
  readonly where: string;
  readonly outer: Path | undefined;
  readonly value: object | undefined;
}

const deepest = 500;

/**
 * JSON for `value`. Byte arrays are tagged, sets and iterables become lists, maps with text as keys objects, dates ISO text;
 * undefined is null, and left out in objects. `where` and `verb` go into the message of an EncodingError.
 */
export function encodeValue(value: unknown, where = "result", verb = "return"): string {
  return JSON.stringify(plain(value, { where, outer: undefined, value: undefined }, 0, verb)) ?? "null";
}

export function decodeValue(text: string): unknown {
  if (!text.includes('"$')) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown) => untag(value));
}

function untag(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length !== 1) return value;
  if ("$bytes" in value && typeof value.$bytes === "string") return Uint8Array.from(Buffer.from(value.$bytes, "base64"));
  if ("$float" in value && typeof value.$float === "string") return floats[value.$float] ?? value;
  return value;
}

const floats: Record<string, number> = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY };

function plain(value: unknown, path: Path, depth: number, verb: string): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      return { $float: Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf" };
    case "undefined":
      return null;
    case "bigint":
      if (BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))) return Number(value);
      throw new EncodingError(`${path.where} is a bigint too large for a number; ${verb} it as text`);
    case "object":
      return value === null ? null : plainObject(value, path, depth, verb);
    default:
      throw refused(typeof value, path, verb);
  }
}

function plainObject(value: object, path: Path, depth: number, verb: string): unknown {
  for (let at: Path | undefined = path; at; at = at.outer) {
    if (at.value === value || depth > deepest) {
      throw new EncodingError(`${path.where} contains itself, or is nested more than ${deepest} deep; ${verb} plain data`);
    }
  }
  const inner = (item: unknown, where: string): unknown => plain(item, { where, outer: path, value }, depth + 1, verb);
  if (Array.isArray(value)) return value.map((item, at) => inner(item, `${path.where}[${at}]`));
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    return {
      $bytes: (value instanceof ArrayBuffer
        ? Buffer.from(value)
        : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
      ).toString("base64"),
    };
  }
  if (value instanceof Map) return inner(entriesOf(value, path, verb), path.where);
  if (value instanceof Date || value instanceof URL || hasToJson(value)) return inner(value.toJSON(), path.where);
  if (value instanceof Set || (ArrayBuffer.isView(value) && !(value instanceof DataView)) || isIterator(value)) {
    return [...(value as Iterable<unknown>)].map((item, at) => inner(item, `${path.where}[${at}]`));
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return value.valueOf();
  if (!isRecord(value)) throw refused(value.constructor?.name || "object", path, verb);

  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined)
      result[key] = inner(
        item,
        /^[A-Za-z_$][\w$]*$/.test(key) ? `${path.where}.${key}` : `${path.where}[${JSON.stringify(key)}]`,
      );
  }
  const [only, second] = Object.keys(result);
  if (second === undefined && (only === "$bytes" || only === "$float")) {
    throw new EncodingError(
      `${path.where} is an object with the single key "${only}", which hob keeps for itself; ${verb} another key`,
    );
  }
  return result;
}

function entriesOf(map: Map<unknown, unknown>, path: Path, verb: string): Record<string, unknown> {
  for (const key of map.keys()) {
    if (typeof key !== "string" && typeof key !== "number") throw refused(`Map with a ${typeof key} as key`, path, verb);
  }
  return Object.fromEntries(map);
}

const hasToJson = (value: object): value is { toJSON(): unknown } => "toJSON" in value && typeof value.toJSON === "function";
const isIterator = (value: object): boolean => "next" in value && typeof value.next === "function" && Symbol.iterator in value;

/** Plain objects and instances of the user's own classes with data in them, but no sockets, promises, errors or streams. */
function isRecord(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  if (!(Object.prototype.toString.call(value) === "[object Object]") || value instanceof Error || value instanceof RegExp)
    return false;
  const source = Function.prototype.toString.call(value.constructor);
  return source.startsWith("class") && !("on" in value && "emit" in value);
}

function refused(what: string, path: Path, verb: string): EncodingError {
  const article = /^[aeio]/i.test(what) ? "an" : "a";
  return new EncodingError(`${path.where} is ${article} ${what}; ${verb} numbers, text, lists, objects or bytes`);
}
