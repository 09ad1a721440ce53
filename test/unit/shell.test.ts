// ⑥⑧ What a shell decides without a container: escapes, credit, the process that runc is asked for, and which container it gets.

import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { processSpec } from "../../agent/shell/process-spec.ts";
import { createPump } from "../../agent/shell/pump.ts";
import { createEscapes } from "../../cli/shell/escapes.ts";
import { chooseContainer } from "../../control/shell-choice.ts";
import { OpenShell } from "../../proto/gen/hob/v1/shell.ts";

describe("what is typed", () => {
  const typed = (...pieces: string[]): string => {
    const take = createEscapes();
    let text = "";
    for (const piece of pieces) {
      const { data, leave } = take(Buffer.from(piece));
      text += data;
      if (leave) return `${text}<left>`;
    }
    return text;
  };

  it.each([
    [["~."], "<left>"],
    [["~", "."], "<left>"],
    [["ls\r~."], "ls\r<left>"],
    [["sleep 9\r", "\u0003~."], "sleep 9\r\u0003<left>"],
    [["cd ~.\r"], "cd ~.\r"],
    [["~~."], "~."],
    [["~/bin\r"], "~/bin\r"],
    [["~\r~."], "~\r<left>"],
  ])("%j reaches the shell as %j", (pieces, expected) => {
    expect(typed(...pieces)).toBe(expected);
  });

  it("is the same however it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("~", ".", "\r", "a"), { maxLength: 12 }), (keys) => {
        expect(typed(...keys)).toBe(typed(keys.join("")));
      }),
    );
  });
});

describe("output", () => {
  it("is sent as far as credit goes, in pieces, and the rest once there is more", async () => {
    const stream = new PassThrough();
    const sent: number[] = [];
    const pump = createPump([{ kind: "data" as const, stream }], 40_000, (_kind, data) => sent.push(data.length));
    stream.write(Buffer.alloc(50_000));
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent.reduce((sum, size) => sum + size, 0)).toBe(40_000);
    stream.end();
    pump.grant(10_000);
    await pump.drained();
    expect(sent.reduce((sum, size) => sum + size, 0)).toBe(50_000);
    expect(Math.max(...sent)).toBeLessThanOrEqual(32 * 1024);
  });
});

describe("the process of a shell", () => {
  it("is confined, begins in the snapshot's folder, and takes only what it should from the client's environment", () => {
    const order = OpenShell.fromPartial({
      ...{ app: "im$(x)ages", function: "embed", snapshot: { digest: "abc" }, secrets: { TOKEN: "t" } },
      start: {
        terminal: true,
        size: { columns: 90, rows: 20 },
        environment: { TERM: "xterm", LD_PRELOAD: "/evil.so", PATH: "/mine" },
      },
    });
    const config = { env: { LANG: "C", GREETING: "hello" }, workdir: "/srv", user: "" };
    const launch = { config, user: { uid: 33, gid: 33, additionalGids: [] } };
    const spec = processSpec({ order, launch, openFilesMost: 1024 }) as { [field: string]: unknown; env: string[] };
    expect(spec).toMatchObject({
      ...{ terminal: true, cwd: "/project/abc", noNewPrivileges: true, consoleSize: { width: 90, height: 20 } },
      capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
    });
    expect(spec).toMatchObject({ user: { uid: 33 } });
    expect(spec.env).toEqual(expect.arrayContaining(["LANG=C", "GREETING=hello"]));
    const plain = OpenShell.fromPartial({ start: { terminal: false } });
    expect(processSpec({ order: plain, launch, openFilesMost: 1024 })).toMatchObject({ cwd: "/srv" });
    expect(spec.env).toEqual(expect.arrayContaining(["TERM=xterm", "TOKEN=t", "PS1=imxages/embed $" + "{PWD#/project/abc}$ "]));
    expect(spec.env.join("\n")).not.toMatch(/LD_PRELOAD|\/mine/);
  });
});

describe("the container of a shell", () => {
  const node = { name: "a", cores: 2, images: new Map([["source:host", "i"]]) };
  const none = { has: () => false };
  const container = {
    ...{
      id: "1",
      node: "a",
      image: "i",
      classKey: "k",
      state: "warm" as const,
      group: "",
      inFlight: 0,
      idleSinceMs: 0,
      memoryBytes: 0,
    },
    ...{ loaded: none, loading: none, app: "", shell: "", info: { gpus: [] } },
  };
  const own = { app: "x", version: undefined, group: { imageKey: "source:host", classKey: "k" }, container: "" };

  it("is a generic one of its kind, or there is a reason to wait", () => {
    expect(chooseContainer(own, [node], [container]).container?.id).toBe("1");
    const taken = { ...container, state: "specialised" as const, group: "x shell", app: "x", shell: "s" };
    expect(chooseContainer(own, [node], [taken])).toEqual({
      container: undefined,
      reason: "a container for x is being started",
    });
    expect(chooseContainer(own, [], []).reason).toBe("no node is connected");
    expect(chooseContainer(own, [{ ...node, images: new Map() }], []).reason).toBe("no node has made its image yet");
  });

  it("that was named must be running, and be an app's", () => {
    const named = { ...own, app: "", group: undefined, container: "1" };
    const busy = { ...container, state: "specialised" as const, group: "g", app: "x" };
    expect(chooseContainer(named, [node], [busy]).container?.id).toBe("1");
    expect(() => chooseContainer(named, [node], [container])).toThrow("is generic");
    expect(() => chooseContainer(named, [node], [])).toThrow("no container 1 is running");
    expect(() => chooseContainer({ ...named, app: "y" }, [node], [busy])).toThrow("belongs to app x, not to y");
  });
});
