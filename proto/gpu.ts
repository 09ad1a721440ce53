// What a `gpu` of a function or a resource class asks for (common.proto, FunctionSpec.gpu), and which device names answer to it. Pure.

export interface GpuRequest {
  /** "any", or words of a model's name: "H100", "RTX 4090". */
  model: string;
  count: number;
}

/** From "any", "H100", "H100:2"; undefined for "": none is wanted. */
export function parseGpuRequest(text: string): GpuRequest | undefined {
  if (text === "") return undefined;
  const match = /^(.*?)(?::(\d+))?$/.exec(text);
  const count = Number(match?.[2] ?? 1);
  return { model: match?.[1] || "any", count: Math.max(1, count) };
}

const wordsOf = (text: string): string[] =>
  text
    .toUpperCase()
    .split(/[^A-Z0-9]+/)
    .filter(Boolean);

/** Whether a device of this name ("NVIDIA H100 80GB HBM3") is of that model: its words, whole and in a row. "H1" is no H100. */
export function isModel(name: string, model: string): boolean {
  if (model.toLowerCase() === "any") return true;
  const wanted = wordsOf(model);
  const words = wordsOf(name);
  return wanted.length > 0 && words.some((_, at) => wanted.every((word, next) => words[at + next] === word));
}
