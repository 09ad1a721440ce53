// ① JSON arguments of the command line: what is taken, and where the fault is in what is not.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { faultPosition, parseArguments, parseKeywords } from "../../cli/json-argument.ts";
import { nearNames, suggestion } from "../../cli/suggest.ts";

function sentenceFrom(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toMatchObject({ kind: "usage" });
    return (error as { sentence: string }).sentence;
  }
  throw new Error("nothing was refused");
}

describe("JSON arguments", () => {
  it("are empty when absent", () => {
    expect(parseArguments(undefined, "--args")).toEqual([]);
    expect(parseKeywords(undefined, "--kwargs")).toEqual({});
  });

  it("are an array, and keywords an object", () => {
    expect(parseArguments('[1, "two", null]', "the arguments")).toEqual([1, "two", null]);
    expect(parseKeywords('{"limit": 3}', "--kwargs")).toEqual({ limit: 3 });
  });

  it("show where they stop being JSON", () => {
    expect(sentenceFrom(() => parseArguments("[1, x]", "--args"))).toBe(
      '--args is not JSON: unexpected "x" at character 5\n    [1, x]\n        ^',
    );
    expect(sentenceFrom(() => parseArguments("[1, 2", "--args"))).toContain("it ends too early at character 6");
    expect(sentenceFrom(() => parseArguments("['a']", "--args"))).toContain("JSON takes double quotes");
  });

  it("say how to write a single value or an object", () => {
    expect(sentenceFrom(() => parseArguments("3", "the arguments"))).toContain("write [3]");
    expect(sentenceFrom(() => parseArguments('{"a": 1}', "the arguments"))).toContain("--kwargs");
    expect(sentenceFrom(() => parseKeywords("[1]", "--kwargs"))).toContain("must be a JSON object");
  });

  it.each([
    ["", 0],
    ["[", 1],
    ["[1 2]", 3],
    ['{"a" 1}', 5],
    ["{a: 1}", 1],
    ["[1,]", 3],
    ["01", 1],
    ['"open', 5],
    ["[1] x", 4],
    ["tru", 0],
  ])("the fault of %j is at %d", (text, position) => expect(faultPosition(text)).toBe(position));

  it("the locator agrees with JSON.parse on what is JSON", () => {
    fc.assert(fc.property(fc.json(), (text) => faultPosition(text) === text.length));
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom("", "x", ",", "]", '"', "}"), (text, at, noise) => {
        const cut = at % (text.length + 1);
        const damaged = text.slice(0, cut) + noise + text.slice(cut + 1);
        let valid = true;
        try {
          JSON.parse(damaged);
        } catch {
          valid = false;
        }
        // A fault at the very end is a text that ends too early: the position alone does not tell it from a whole one.
        const position = faultPosition(damaged);
        return valid ? position === damaged.length : position <= damaged.length;
      }),
    );
  });
});

describe("near names", () => {
  it("finds typing mistakes, parts and other cases", () => {
    expect(nearNames("embde", ["embed", "count"])).toEqual(["embed"]);
    expect(nearNames("words", ["count_words", "embed"])).toEqual(["count_words"]);
    expect(nearNames("Embed", ["embed"])).toEqual(["embed"]);
    expect(nearNames("zzz", ["embed"])).toEqual([]);
  });

  it("falls back to what there is", () => {
    expect(suggestion("zzz", ["embed", "count"])).toBe("there is embed, count");
    expect(suggestion("embd", ["embed", "count"])).toBe('did you mean "embed"?');
    expect(suggestion("x", [])).toBe("");
  });
});
