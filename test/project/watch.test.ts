// Editors' ways of saving, on a real folder: each gives what it changed, once, and nothing else.

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { HobError } from "../../base/errors.ts";
import { type ProjectChange, type ProjectWatcher, watchProject } from "../../project/watch.ts";

describe.each(["listening", "polling"])("a project watched by %s", (manner) => {
  let base: string;
  let root: string;
  let watcher: ProjectWatcher | undefined;
  let changes: ProjectChange[];
  let said: string[];
  let stirs = 0;
  const waiting: (() => void)[] = [];

  const at = (path: string): string => join(root, path);
  const put = (path: string, text: string): void => writeFileSync(at(path), text);

  function start(): ProjectWatcher {
    changes = [];
    said = [];
    stirs = 0;
    const note = (text: string): void => {
      said.push(text);
      for (const look of waiting.splice(0)) look();
    };
    watcher = watchProject(root, {
      stirred: () => stirs++,
      changed(change) {
        changes.push(change);
        for (const look of waiting.splice(0)) look();
      },
      gone: () => note("gone"),
      back: () => note("back"),
      notice: note,
    });
    return watcher;
  }

  /** Waits until `done` holds, asked after every event. */
  async function until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => waiting.push(resolve));
  }

  const seen = (): string[] =>
    [
      ...new Set(
        changes.flatMap(({ changed, removed }) => [
          ...changed.map(({ entry }) => entry.path),
          ...removed.map((path) => `-${path}`),
        ]),
      ),
    ].sort();
  const files = (): string[] => [...(changes.at(-1) ?? watcher!.initial).snapshot.files.keys()];
  const digestOf = (path: string): string | undefined => (changes.at(-1) ?? watcher!.initial).snapshot.files.get(path)?.digest;

  /** A file of its own, saved last: once it is seen, everything before it has been. */
  async function settle(): Promise<void> {
    const name = `marker-${systemClock.now()}.txt`;
    put(name, name);
    await until(() => seen().includes(name));
    unlinkSync(at(name));
    await until(() => seen().includes(`-${name}`));
  }

  const changedPaths = (): string[] => seen().filter((path) => !path.includes("marker-"));

  beforeEach(() => {
    if (manner === "polling") process.env["HOB_WATCH"] = "poll";
    base = realpathSync(mkdtempSync(join(tmpdir(), "hob-watch-")));
    root = join(base, "project");
    mkdirSync(at("pkg"), { recursive: true });
    put("app.py", "one\n");
    put("pkg/helpers.py", "helpers\n");
  });
  afterEach(async () => {
    await watcher?.[Symbol.asyncDispose]();
    watcher = undefined;
    delete process.env["HOB_WATCH"];
    rmSync(base, { recursive: true, force: true });
  });

  const manners: { name: string; save(path: string, text: string): void }[] = [
    { name: "in place", save: (path, text) => writeFileSync(path, text) },
    {
      name: "by a temporary file and a rename",
      save(path, text) {
        writeFileSync(`${path}.x7Fq2`, text);
        renameSync(`${path}.x7Fq2`, path);
      },
    },
    {
      name: "as vim does: a probe, a backup, a new file",
      save(path, text) {
        const probe = join(path, "..", "4913");
        writeFileSync(probe, "");
        unlinkSync(probe);
        renameSync(path, `${path}~`);
        writeFileSync(path, text);
        unlinkSync(`${path}~`);
      },
    },
    {
      name: "by copying to a backup, then in place",
      save(path, text) {
        copyFileSync(path, `${path}.bak`);
        writeFileSync(path, text);
        unlinkSync(`${path}.bak`);
      },
    },
    {
      name: "by deleting and creating",
      save(path, text) {
        unlinkSync(path);
        writeFileSync(path, text);
      },
    },
    {
      name: "in several writes after truncating",
      save(path, text) {
        writeFileSync(path, "");
        writeFileSync(path, text.slice(0, 2), { flag: "a" });
        writeFileSync(path, text.slice(2), { flag: "a" });
      },
    },
  ];

  it.each(manners)("sees a save $name", async ({ save }) => {
    start();
    for (const [path, text] of [
      ["app.py", "two\n"],
      ["pkg/helpers.py", "better\n"],
      ["app.py", "three\n"],
    ] as const) {
      save(at(path), text);
      await until(() =>
        changes.some(({ changed }) => changed.some(({ entry, content }) => entry.path === path && content?.toString() === text)),
      );
    }
    await settle();
    expect(changedPaths()).toEqual(["app.py", "pkg/helpers.py"]);
    expect(files()).toEqual(["app.py", "pkg/helpers.py"]);
  });

  it("says that something is being saved before it says what", async () => {
    put("app.py", "before");
    start();
    await settle();
    stirs = 0;
    put("app.py", "announced");
    await until(() => seen().includes("app.py"));
    expect(stirs).toBeGreaterThan(0);
  });

  it("drops a save that changes nothing, and a touch", async () => {
    start();
    put("app.py", "one\n");
    utimesSync(at("app.py"), new Date(), new Date());
    await settle();
    expect(changedPaths()).toEqual([]);
  });

  it("sees files made, moved and deleted, and folders with what is in them", async () => {
    start();
    mkdirSync(at("deep/er"), { recursive: true });
    put("deep/er/new.py", "new\n");
    await until(() => seen().includes("deep/er/new.py"));
    put("deep/er/newer.py", "newer\n");
    await until(() => seen().includes("deep/er/newer.py"));
    renameSync(at("deep"), at("moved"));
    await until(() => seen().includes("moved/er/newer.py") && seen().includes("-deep/er/newer.py"));
    put("moved/er/new.py", "again\n");
    await until(() => changes.some(({ changed }) => changed.some(({ content }) => content?.toString() === "again\n")));
    rmSync(at("moved"), { recursive: true });
    await until(() => seen().includes("-moved/er/new.py") && seen().includes("-moved/er/newer.py"));
    expect(files()).toEqual(["app.py", "pkg/helpers.py"]);
  });

  it("leaves out what .gitignore, .hobignore and the defaults name, and follows the rules when they change", async () => {
    put(".gitignore", "*.log\n/data/\n!keep.log\n");
    put("pkg/.gitignore", "!special.log\nsecret.py\n");
    put(".hobignore", "notes.md\n");
    for (const path of ["data", "__pycache__", "node_modules/x", ".git", "pkg/data", ".venv/lib"])
      mkdirSync(at(path), { recursive: true });
    for (const path of [
      "a.log",
      "keep.log",
      "data/x.csv",
      "pkg/data/x.csv",
      "pkg/special.log",
      "pkg/secret.py",
      "notes.md",
      "__pycache__/a.pyc",
      "node_modules/x/index.js",
      ".git/HEAD",
      ".venv/lib/a.py",
      "app.py.swp",
      "#app.py#",
      ".DS_Store",
    ])
      put(path, "x");
    start();
    const always = [
      ".gitignore",
      ".hobignore",
      "app.py",
      "keep.log",
      "pkg/.gitignore",
      "pkg/data/x.csv",
      "pkg/helpers.py",
      "pkg/special.log",
    ];
    expect(files()).toEqual(always);
    put("b.log", "x");
    put("data/y.csv", "x");
    put("pkg/secret.py", "y");
    put(".git/HEAD", "y");
    await settle();
    expect(changedPaths()).toEqual([]);
    put(".hobignore", "");
    await until(() => files().includes("notes.md"));
    put(".gitignore", "*.csv\n");
    await until(() => files().includes("a.log") && !files().includes("pkg/data/x.csv"));
    expect(files()).not.toContain("data/x.csv");
  });

  it("follows links inside the project, and leaves out those that lead out, with a notice", async () => {
    writeFileSync(join(base, "outside.py"), "x");
    symlinkSync("../outside.py", at("out.py"));
    symlinkSync("app.py", at("alias.py"));
    symlinkSync("..", at("pkg/loop"));
    symlinkSync("nowhere", at("dangling"));
    start();
    expect(files()).toEqual(["alias.py", "app.py", "pkg/helpers.py"]);
    expect(said.join()).toMatch(/out\.py is a link that leads out of the project/);
    if (manner === "polling") return;
    put("app.py", "two\n");
    await until(() => seen().includes("alias.py") && seen().includes("app.py"));
    expect(digestOf("alias.py")).toBe(digestOf("app.py"));
  });

  it("sees a checkout of hundreds of files as what it is in the end", async () => {
    const git = (...words: string[]) =>
      execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", ...words], {
        cwd: root,
        stdio: "pipe",
      });
    for (let index = 0; index < 300; index++) put(`pkg/m${index}.py`, `before ${index}\n`);
    git("init");
    git("add", ".");
    git("commit", "-m", "before");
    git("checkout", "-b", "other");
    for (let index = 0; index < 300; index++) put(`pkg/m${index}.py`, `after ${index}\n`);
    unlinkSync(at("pkg/m7.py"));
    put("pkg/fresh.py", "fresh\n");
    git("add", ".");
    git("commit", "-m", "after");
    git("checkout", "main");
    const { snapshot } = start().initial;
    git("checkout", "other");
    await until(() => seen().length >= 301 && files().includes("pkg/fresh.py") && !files().includes("pkg/m7.py"));
    git("checkout", "main");
    await until(() => changes.at(-1)!.snapshot.digest === snapshot.digest);
    expect(changes.length).toBeLessThan(200);
  });

  it("says when the folder is gone and when it is back, and goes on", async () => {
    start();
    rmSync(root, { recursive: true });
    await until(() => said.includes("gone"));
    mkdirSync(at("pkg"), { recursive: true });
    put("app.py", "back\n");
    put("pkg/helpers.py", "helpers\n");
    await until(
      () =>
        said.includes("back") && changes.some(({ changed }) => changed.some(({ content }) => content?.toString() === "back\n")),
    );
    put("pkg/helpers.py", "later\n");
    await until(() => changes.some(({ changed }) => changed.some(({ content }) => content?.toString() === "later\n")));
    expect(files()).toEqual(["app.py", "pkg/helpers.py"]);
  });

  it("gives the time of the save itself", async () => {
    start();
    const before = systemClock.now();
    put("app.py", "timed\n");
    const after = systemClock.now();
    await until(() => changes.length > 0);
    const { savedAtMs, noticedAtMs } = changes[0]!;
    expect(savedAtMs).toBeGreaterThan(before - 12); // the kernel's clock for files ticks every 4 to 10 ms
    expect(savedAtMs).toBeLessThanOrEqual(Math.max(after, noticedAtMs));
    expect(noticedAtMs).toBeGreaterThanOrEqual(savedAtMs);
  });

  it("refuses a project that is not there or is no folder", () => {
    expect(() => watchProject(join(base, "nowhere"), { stirred() {}, changed() {}, gone() {}, back() {}, notice() {} })).toThrow(
      HobError,
    );
    expect(() => watchProject(at("app.py"), { stirred() {}, changed() {}, gone() {}, back() {}, notice() {} })).toThrow(
      /is not a folder/,
    );
  });
});
