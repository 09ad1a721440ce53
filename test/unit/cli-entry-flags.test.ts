// ① Flags of a local entry become its arguments.

import { describe, expect, it } from "vitest";
import { declaresEntry, entryArguments } from "../../cli/entry-flags.ts";

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
    [["one", "2"], ["one", 2], {}],
    [["--empty="], [], { empty: "" }],
  ])("%j is (%j, %j)", (words, positional, keywords) => {
    expect(entryArguments(words)).toEqual({ positional, keywords });
  });

  it("refuses bare values beside flags", () => {
    expect(() => entryArguments(["one", "--limit", "3"])).toThrow(expect.objectContaining({ kind: "usage" }));
  });

  it("refuses a flag that is given twice", () => {
    expect(() => entryArguments(["--cache", "--no-cache"])).toThrow(
      expect.objectContaining({ kind: "usage", message: "--no-cache is given twice" }),
    );
  });
});

describe("a local entry", () => {
  const source =
    "@app.local()\n# a comment\n@timed\ndef main(limit=1):\n    pass\n\n@app.function()\ndef embed():\n    pass\n\n@x.app.local( )\nasync def later(): ...\n";

  it.each([
    ["main", true],
    ["later", true],
    ["embed", false],
    ["mai", false],
  ])("%s: %s", (name, is) => expect(declaresEntry(source, name)).toBe(is));
});
