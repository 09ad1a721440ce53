// A shell inside a container, through a real pseudo-terminal: what a person types, sees and leaves behind.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { rootWithContainers } from "../drive/requirements.ts";
import { openScreen, type Screen } from "../drive/screen.ts";
import { makeWorkplace, processesOf, type Workplace } from "../drive/workplace.ts";

const hob = join(installRoot, "bin/hob");
const runFile = promisify(execFile);

const source = "import hob\n\napp = hob.App('words')\n\n@app.function()\ndef shout(word: str = 'a'):\n    return word.upper()\n";

interface PoolContainer {
  id: string;
  app: string;
  state: string;
}

describe.skipIf(!rootWithContainers())("hob shell", () => {
  let place: Workplace;
  let environment: Record<string, string>;
  beforeAll(() => {
    place = makeWorkplace({ "app.py": source, "data.txt": "from the project\n", ".hobignore": "" });
    environment = { ...place.environment, HOB_LINGER_MS: "60000", SHELL: "/bin/bash" };
  });
  afterAll(async () => {
    await runFile(hob, ["pool", "stop"], { env: { ...process.env, ...environment } });
    place[Symbol.dispose]();
  });

  const open = (...argv: string[]): Screen =>
    openScreen(hob, ["shell", ...argv], { columns: 100, rows: 30, environment, cwd: place.project });
  const prompt = (seen: string): boolean => /words\/shout \$ *$/.test(seen.trimEnd().split("\n").at(-1) ?? "");

  async function piped(argv: string[], input: string): Promise<{ code: number | null; out: string; errors: string }> {
    const child = spawn(hob, ["shell", ...argv], { cwd: place.project, env: { ...process.env, ...environment } });
    child.stdin.end(input);
    const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
    return { code, out, errors };
  }

  async function containers(): Promise<PoolContainer[]> {
    const { stdout } = await runFile(hob, ["pool", "--json"], { env: { ...process.env, ...environment } });
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as PoolContainer & { kind: string })
      .filter(({ kind }) => kind === "container");
  }

  /** It is the terminal's foreground from then on: a key that comes before is the shell's own, however its line looks. */
  const untilRuns = (line: string): Promise<void> =>
    expect.poll(() => processesOf(place).some(({ command }) => command === line)).toBe(true);

  /** Resolves once the app has only the one container that waits for its calls. */
  async function untilShellsAreGone(): Promise<void> {
    const limit = performance.now() + 15_000;
    for (;;) {
      const own = (await containers()).filter(({ app }) => app === "words");
      if (own.length <= 1) return;
      if (performance.now() > limit) throw new Error(`still there: ${JSON.stringify(own)}`);
    }
  }

  test("shows a prompt in the function's code, confined as its calls are, follows the size, and gives its exit code", async () => {
    await using screen = open("app.py::shout");
    await screen.waitFor("the prompt", prompt, 90_000);
    screen.press("cat data.txt; stty size; tty; id -u\r");
    await screen.waitFor("the project's file, the size and the terminal", (seen) =>
      /from the project\n30 100\n\/dev\/pts\/\d+\n0\n/.test(seen),
    );
    await screen.resize(90, 25);
    screen.press("stty size\r");
    await screen.waitFor("the new size", (seen) => /\n25 90\n/.test(seen));
    screen.press("grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; cat /proc/self/uid_map; echo end=$((40 + 2))\r");
    const status = await screen.waitFor("its confinement", (seen) => seen.includes("end=42"));
    expect(status).toMatch(/CapEff:\s+0000000000000000/);
    expect(status).toMatch(/NoNewPrivs:\s+1/);
    expect(status).toMatch(/Seccomp:\s+2/);
    expect(status).toMatch(/\n +0 +\d{9,} +65536\n/);
    screen.press("clear; python3 -c 'import app; print(app.shout.local(\"b\"))'\r");
    await screen.waitFor("the function itself", (seen) => /\nB\n/.test(seen));
    screen.press("exit 7\r");
    expect((await screen.ended).exitCode).toBe(7);
    await untilShellsAreGone();
  });

  test("keys are signals: ctrl-C ends a program, ctrl-Z stops one, ctrl-D ends the shell", async () => {
    await using screen = open("app.py::shout");
    await screen.waitFor("the prompt", prompt);
    screen.press("sleep 600; echo after=$?\r");
    await untilRuns("sleep 600");
    screen.press("\u0003");
    await screen.waitFor("the prompt again", (seen) => seen.includes("^C") && prompt(seen));
    screen.press("sleep 601\r");
    await untilRuns("sleep 601");
    screen.press("\u001a");
    await screen.waitFor("the stopped job", (seen) => /Stopped\s+sleep 601/.test(seen) && prompt(seen));
    screen.press("kill %1; wait; clear; echo $TERM\r");
    await screen.waitFor("TERM", (seen) => /^xterm-256color\n/m.test(seen) && prompt(seen));
    screen.press("\u0004");
    expect((await screen.ended).exitCode).toBe(0);
  });

  test("~. at the start of a line leaves a shell in which nothing reads, and its container ends", async () => {
    await using screen = open("app.py::shout");
    await screen.waitFor("the prompt", prompt);
    screen.press("sleep 602\r");
    await untilRuns("sleep 602");
    screen.press("~.");
    expect((await screen.ended).exitCode).toBe(3);
    await untilShellsAreGone();
    expect(processesOf(place).filter(({ command }) => command.startsWith("sleep"))).toEqual([]);
  });

  test("a client that is killed gives the terminal back, and takes the shell's processes and container with it", async () => {
    await using screen = open("app.py::shout");
    await screen.waitFor("the prompt", prompt);
    screen.press("(setsid sleep 603 &) ; sleep 604\r");
    await untilRuns("sleep 604");
    const [client] = processesOf(place).filter(({ command }) => / shell app\.py::shout/.test(command));
    process.kill(client!.pid, "SIGTERM");
    expect((await screen.ended).exitCode).toBe(143);
    await untilShellsAreGone();
    expect(processesOf(place).filter(({ command }) => command.startsWith("sleep"))).toEqual([]);
  });

  test("without a terminal it takes its input, keeps the two outputs apart, and gives the exit code", async () => {
    const answer = await piped(["app.py::shout"], "cat data.txt\necho wrong >&2\nexit 3\n");
    expect(answer).toEqual({ code: 3, out: "from the project\n", errors: "wrong\n" });
    const one = await piped(["app.py::shout", "--", "python3", "-c", "import sys; print(sys.stdin.read()[::-1])"], "abc");
    expect(one).toMatchObject({ code: 0, out: "cba\n" });
    const none = await piped(["app.py::shout", "--", "no-such-program"], "");
    expect(none.code).toBe(3);
    expect(none.errors).toMatch(/no-such-program.*not found/);
  });

  test("output goes only as fast as it is read: 50 MB arrive whole, and a reader that sleeps makes the writer wait", async () => {
    const child = spawn(hob, ["shell", "app.py::shout", "--", "sh", "-c", "yes | head -c 50000000; echo end >&2"], {
      cwd: place.project,
      env: { ...process.env, ...environment },
    });
    let errors = "";
    child.stderr.on("data", (data) => {
      errors += data;
    });
    await once(child.stdout, "readable"); // and nothing is read: all that is under way must come to a stop
    const answer = await runFile(hob, ["run", "app.py::shout", '["meanwhile"]'], {
      cwd: place.project,
      env: { ...process.env, ...environment },
    });
    expect(JSON.parse(answer.stdout)).toBe("MEANWHILE");
    expect(errors).toBe("");
    let bytes = 0;
    for await (const chunk of child.stdout) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(50_000_000);
    expect(errors).toBe("end\n");
  });

  test("in the workbench, s gives the terminal to a shell, and the screen comes back when it ends", async () => {
    await using screen = openScreen(hob, ["dev", place.project], { columns: 140, rows: 40, environment });
    await screen.waitFor("the live screen", (seen) => seen.includes("● live") && seen.includes("shout"), 90_000);
    screen.press("s");
    await screen.waitFor("the prompt", prompt);
    expect(screen.alternate()).toBe(false);
    screen.press("echo in the $((40 + 2))\r");
    await screen.waitFor("its output", (seen) => seen.includes("in the 42"));
    await screen.resize(130, 38);
    screen.press("exit 5\r");
    await screen.waitFor(
      "the screen again, with what the shell said",
      (seen) => seen.includes("● live") && /exit code 5/.test(seen),
    );
    expect(screen.alternate()).toBe(true);
    screen.press("r");
    await screen.waitFor("a call by key", (seen) => /✓ shout .* key /.test(seen));
    screen.press("q");
    expect((await screen.ended).exitCode).toBe(0);
    await untilShellsAreGone();
  });

  test("a running container is joined and stays; what does not exist is said", async () => {
    const before = (await containers()).find(({ app, state }) => app === "words" && state === "specialised");
    expect(before, "the container of the call in the test before").toBeDefined();
    expect(await piped(["--container", before!.id, "--", "cat", "data.txt"], "")).toMatchObject({
      code: 0,
      out: "from the project\n",
    });
    expect((await containers()).some(({ id }) => id === before!.id)).toBe(true);
    expect((await piped(["--container", "00000000"], "")).errors).toMatch(/no container 00000000 is running/);
    expect(await piped(["words/nothing"], "")).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/no function nothing: there is shout/),
    });
  });

  test("of an image alone, by its digest: what it has, and none of an app's files", async () => {
    const { stdout } = await runFile(hob, ["images", "ls", "--json"], { env: { ...process.env, ...environment } });
    const { digest } = JSON.parse(stdout.trim().split("\n")[0]!) as { digest: string };
    const said = await piped(["--image", digest.slice(0, 10), "--", "sh", "-c", "pwd; ls /project; command -v python3"], "");
    expect(said).toMatchObject({ code: 0, out: expect.stringMatching(/python3\n$/) });
    expect(said.out).not.toContain("app.py");
    expect(await piped(["--image", "ffffffff", "--", "true"], "")).toMatchObject({
      code: 3,
      errors: expect.stringContaining("no image ffffffff"),
    });

    // In which no container can ever be made.
    mkdirSync(join(place.project, "bare"));
    writeFileSync(join(place.project, "bare/file"), "of a tree without an interpreter");
    const imported = await runFile(hob, ["images", "import", join(place.project, "bare")], {
      env: { ...process.env, ...environment },
    });
    expect(await piped(["--image", imported.stdout.trim(), "--", "true"], "")).toMatchObject({
      code: 3,
      errors: expect.stringMatching(/the image has no python3: add \.apt_install/),
    });
  });
});
