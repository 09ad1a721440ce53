// ⑤ The names that a compiled Python module uses while it is imported, out of its .pyc: those of the modules that it imports are among them. Pure.
// Format: Python/marshal.c and Objects/codeobject.c of CPython 3.8 to 3.14; what is before the code is 16 bytes, PEP 552.

const headerBytes = 16;
/** From this magic number on (3.11) code has other fields. */
const newCodeMagic = 3480;
/** Code, constants, names, and five more. */
const objectsBeforeLine = 8;
const namesField = 2;
const mostDepth = 100;

type Value = string | readonly Value[] | undefined;

/** Of the module's own code, not of its functions'. Empty for what cannot be read. */
export function namesOfBytecode(file: Buffer): readonly string[] {
  if (file.length < headerBytes) return [];
  const isNew = file.readUInt16LE(0) >= newCodeMagic;
  const refs: Value[] = [];
  let at = headerBytes;
  let names: Value;

  const int = (): number => {
    at += 4;
    return file.readInt32LE(at - 4);
  };
  const text = (bytes: number): string => {
    at += bytes;
    return file.toString("latin1", at - bytes, at);
  };
  const skip = (bytes: number): undefined => {
    at += bytes;
    return undefined;
  };
  const list = (count: number, depth: number): Value[] => Array.from({ length: count }, () => read(depth + 1));

  function code(depth: number): undefined {
    skip(isNew ? 20 : 24);
    for (let field = 0; field < objectsBeforeLine; field++) {
      const value = read(depth + 1);
      if (depth > 0 || field !== namesField) continue;
      names = value;
      return undefined; // what is behind them is of no interest
    }
    skip(4);
    read(depth + 1);
    if (isNew) read(depth + 1);
    return undefined;
  }

  function read(depth: number): Value {
    if (depth > mostDepth) throw new RangeError("too deep");
    const type = file.readUInt8(at++);
    const slot = type & 0x80 ? refs.push(undefined) - 1 : -1;
    const value = body(String.fromCharCode(type & 0x7f), depth);
    if (slot >= 0) refs[slot] = value;
    return value;
  }

  function body(type: string, depth: number): Value {
    if (type === "z" || type === "Z") return text(file.readUInt8(at++));
    if (type === "a" || type === "A" || type === "u" || type === "t") return text(int());
    if (type === "s") return skip(int());
    if (type === ")") return list(file.readUInt8(at++), depth);
    if (type === "(" || type === "[" || type === "<" || type === ">") return list(int(), depth);
    if (type === "r") return refs[int()];
    if (type === "c") return code(depth);
    if (type === "i") return skip(4);
    if (type === "g" || type === "I") return skip(8);
    if (type === "y") return skip(16);
    if (type === "l") return skip(2 * Math.abs(int()));
    if (type === "f") return skip(file.readUInt8(at++));
    if (type === "x") {
      skip(file.readUInt8(at++));
      return skip(file.readUInt8(at++));
    }
    if (type === ":") return list(3, depth);
    if ("0NFTS.".includes(type)) return undefined;
    throw new RangeError(`type ${type}`);
  }

  try {
    read(0);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // Buffer's own for what lies outside, and ours
  }
  return Array.isArray(names) ? names.filter((name): name is string => typeof name === "string") : [];
}
