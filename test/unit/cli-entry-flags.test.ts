// ① Flags of a local entry become its arguments.

import { describe, expect, it } from "vitest";
import { entryArguments } from "../../cli/entry-flags.ts";

describe("the command line of a local entry", () => {
  it.each<[string[], unknown[], Record<string, unknown>]>([
    [[], [], {}],
    [["--limit", "10"], [], { limit: 10 }],
    [["--limit=10"], [], { limit: 10 }],
    [["--name", "cat.jpg"], [], { name: "cat.jpg" }],
    [["--verbose"], [], { verbose: true }],
    [["--verbose", "--limit", "-3"], [], { verbose: true, limit: -3 }],
    [["--no-cache"], [], { cache: false }],
    [["--dry-run=false"], [], { dry_run: false }],
    [["--tags", '["a", "b"]', "--text", '"10"'], [], { tags: ["a", "b"], text: "10" }],
    [["one", "2", "--limit", "3", "four"], ["one", 2, "four"], { limit: 3 }],
    [["--empty="], [], { empty: "" }],
  ])("%j is (%j, %j)", (words, positional, keywords) => {
    expect(entryArguments(words)).toEqual({ positional, keywords });
  });

  it("refuses a flag that is given twice", () => {
    expect(() => entryArguments(["--cache", "--no-cache"])).toThrow(
      expect.objectContaining({ kind: "usage", message: "--no-cache is given twice" }),
    );
  });
});
