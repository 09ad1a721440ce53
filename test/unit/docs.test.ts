// The documents are few and true: every path and every command that they name exists.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { installRoot } from "../../base/install.ts";
import { withLimits } from "../../control/limits.ts";
import { clientLimits } from "../../control/outbox.ts";
import { greatestCallValueBytes, inlineValueBytes } from "../../proto/large-value.ts";
import { greatestValueBytes } from "../../proto/transport.ts";
import { withKeys } from "../../scripts/pictures/keys.ts";

const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "docs/calls.md",
  "docs/cli.md",
  "docs/maps.md",
  "docs/images.md",
  "docs/deploy.md",
  "docs/pool.md",
  "docs/security.md",
  "docs/scheduling.md",
  "docs/image-format.md",
  "docs/recordings.md",
  "docs/settings.md",
  "docs/workbench.md",
  "docs/runner-protocol.md",
];
const read = (file: string): string => readFileSync(join(installRoot, file), "utf8");
const rooms = "base|proto|project|control|agent|fusefs|sdk|tui|cli|test|bench|examples|docs|deploy|scripts|bin";

describe("the documents", () => {
  it.each(documents)("%s names only paths that exist", (document) => {
    const text = read(document);
    const named = [
      ...[...text.matchAll(/`((?:\.ci|[\w.-]+)\/[\w./-]*)`/g)].map((match) => match[1]!),
      ...[...text.matchAll(/\]\(([\w./-]+)\)/g)].map((match) => match[1]!),
    ].filter((path) => path.startsWith(".ci/") || new RegExp(`^(${rooms})(/|$)|\\.md$`).test(path));
    expect(named.filter((path) => !existsSync(join(installRoot, path)))).toEqual([]);
  });

  it.each(documents)("%s names only commands that exist", (document) => {
    const commands = readFileSync(join(installRoot, "cli/main.ts"), "utf8");
    const scripts = (JSON.parse(read("package.json")) as { scripts: Record<string, string> }).scripts;
    const text = read(document);
    const blocks = [...text.matchAll(/```\n([\s\S]*?)```/g)].map((match) => match[1]!).join("\n");
    const named = [
      ...`${blocks}\n${[...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!).join("\n")}`.matchAll(
        /(?:^|\n|; )(?:bin\/)?hob ([a-z]+)/g,
      ),
    ].map((match) => match[1]!);
    expect(named.filter((name) => !new RegExp(`\\b${name}\\b`).test(commands))).toEqual([]);
    const run = [...text.matchAll(/npm run ([a-z]+)/g)].map((match) => match[1]!);
    expect(run.filter((name) => !(name in scripts))).toEqual([]);
  });

  it("docs/limits.md says how large values may be", () => {
    const [inline, call, input] = [inlineValueBytes, greatestCallValueBytes, greatestValueBytes].map(
      (bytes) => `${bytes >> 20} MiB`,
    );
    expect(read("docs/limits.md")).toContain(`| ${call} each; from ${inline} on `);
    expect(read("docs/limits.md")).toMatch(new RegExp(`\\| an input of a map, and its result, as JSON +\\| ${input} each`));
  });

  it("docs/limits.md has every limit of control, with its standard value", () => {
    const limits = withLimits();
    const rows = read("docs/limits.md").matchAll(/^\| `([a-z-]+)` +\| ([\d,]+) +\|/gm);
    const written = Object.fromEntries([...rows].map(([, name, value]) => [name, Number(value!.replaceAll(",", ""))]));
    expect(written).toEqual({ ...limits, "unread-events": clientLimits.events });
  });

  it("docs/workbench.md has the keys as they are", () => {
    // However wide the formatter makes the table's columns.
    const narrow = (text: string): string => text.replace(/ +/g, " ").replace(/-{3,}/g, "---");
    const document = read("docs/workbench.md");
    expect(narrow(document), "npm run pictures writes them").toBe(narrow(withKeys(document)));
  });

  it("every room of ARCHITECTURE.md's table is a folder, and the other way round", () => {
    for (const room of rooms.split("|").filter((name) => name !== "bin")) {
      expect(read("ARCHITECTURE.md"), room).toContain(`${room}/`);
      expect(existsSync(join(installRoot, room)), room).toBe(true);
    }
  });
});
