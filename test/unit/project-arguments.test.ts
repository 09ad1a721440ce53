// Arguments against parameters: what fits goes, and what does not is said with the function's signature.

import { describe, expect, it } from "vitest";
import { HobError } from "../../base/errors.ts";
import { checkArguments } from "../../project/arguments.ts";
import { FunctionSpec } from "../../proto/gen/hob/v1/common.ts";

const python = FunctionSpec.fromPartial({
  name: "f",
  language: "python",
  returns: "int",
  parameters: [
    { name: "a", kind: "positional-only" },
    { name: "b", kind: "positional", hasDefault: true, annotation: "str" },
    { name: "c", kind: "keyword-only" },
  ],
});
const open = FunctionSpec.fromPartial({
  name: "g",
  language: "python",
  parameters: [
    { name: "rest", kind: "variadic" },
    { name: "more", kind: "keywords" },
  ],
});
const typescript = FunctionSpec.fromPartial({
  name: "h",
  language: "typescript",
  parameters: [
    { name: "path", kind: "positional", annotation: "string" },
    { name: "width", kind: "positional", hasDefault: true },
  ],
});

const rows: [string, FunctionSpec, unknown[], Record<string, unknown>, string | undefined][] = [
  ["all given", python, [1, 2], { c: 3 }, undefined],
  ["a default left out", python, [1], { c: 3 }, undefined],
  ["by name", python, [1], { b: "x", c: 3 }, undefined],
  ["anything", open, [1, 2, 3], { any: 1 }, undefined],
  ["optional in TypeScript", typescript, ["x"], {}, undefined],
  ["one missing", python, [], { c: 1 }, "f: its parameter a is missing: it is f(a, /, b: str = …, *, c) -> int"],
  ["a keyword missing", python, [1], {}, "f: its parameter c is missing"],
  ["too many", python, [1, 2, 3], { c: 1 }, "f: it takes at most 2 arguments by position, and 3 were given"],
  ["a name that is not there", python, [1], { c: 1, d: 2 }, "f: it has no parameter d"],
  ["twice", python, [1, 2], { b: 1, c: 2 }, "f: its parameter b is given twice"],
  ["positional-only by name", python, [], { a: 1, c: 2 }, "f: its parameter a is given by position only"],
  [
    "too many in TypeScript",
    typescript,
    [1, 2, 3],
    {},
    "h: it takes at most 2 arguments by position, and 3 were given: it is h(path: string, width?)",
  ],
  ["names in TypeScript", typescript, ["x"], { width: 1 }, "h: a TypeScript function takes no keyword arguments"],
];

describe("arguments", () => {
  it.each(rows)("%s", (_name, spec, positional, keywords, refusal) => {
    let said: string | undefined;
    try {
      checkArguments(spec, positional, keywords);
    } catch (error) {
      if (!(error instanceof HobError)) throw error;
      expect(error.kind).toBe("usage");
      said = error.sentence;
    }
    if (refusal === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(refusal);
  });
});
