// ⑥ The Python SDK by itself: declarations, values, and programs of the laptop.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { createFrameDecoder, cutPayload, encodeFrame, type Frame } from "../../agent/runner/frames.ts";
import { installRoot } from "../../base/install.ts";
import { createMapPool } from "./map-pool.ts";

const python = "/usr/bin/python3";
const sdk = join(installRoot, "sdk/python");
const folder = mkdtempSync(join(tmpdir(), "hob-sdk-python-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What the expression gives after the statements, as JSON; an exception gives "Type: message". */
function evaluate(statements: string, expression: string): unknown {
  const script = `import hob, json\nfrom hob import values\napp = hob.App("test")\ntry:\n${statements.replace(/^/gm, "    ")}\n    result = ${expression}
except Exception as error:\n    result = f"{type(error).__name__}: {error}"\nprint(json.dumps(result))`;
  return JSON.parse(execFileSync(python, ["-c", script], { env: { PYTHONPATH: sdk }, encoding: "utf8" }));
}

const declared = (options: string): string =>
  `@app.function(${options})\ndef f(a: int) -> int:\n    "Doubles."\n    return 2 * a`;

describe("the python sdk", () => {
  it("declares what hob reads", () => {
    const options = 'image=hob.Image.host(), cpu=0.5, memory="1.5GiB", timeout=2.5, retries=1, max_containers=3';
    expect(evaluate(declared(options), "[app.functions['f'].spec, app.name, f(4), f.local(5), f.__doc__, f.__name__]")).toEqual([
      {
        name: "f",
        image: { source: "host", reference: "", steps: [] },
        cpu: 0.5,
        memory_bytes: 1.5 * 2 ** 30,
        gpu: "",
        timeout_ms: 2500,
        retries: 1,
        backoff: null,
        min_containers: 0,
        max_containers: 3,
        ...{ buffer_containers: 0, concurrency: 1, idle_timeout_ms: 0, network: "internet", secrets: [], schedule: null },
      },
      "test",
      8,
      10,
      "Doubles.",
      "f",
    ]);
    expect(
      evaluate("@app.function\ndef g(): ...\n@app.local()\ndef main(): ...", "[list(app.functions), list(app.local_entries)]"),
    ).toEqual([["g"], ["main"]]);
  });

  it("declares what retries wait, as the TypeScript SDK does", () => {
    const spec = (retries: string) =>
      evaluate(declared(`retries=${retries}`), "[app.functions['f'].spec[key] for key in ('retries', 'backoff')]");
    expect(spec('hob.Retries(count=3, delay="1s", backoff=1.5, max_delay="2m")')).toEqual([
      3,
      { delay_ms: 1_000, factor: 1.5, max_delay_ms: 120_000 },
    ]);
    expect(spec("hob.Retries(2, 0.25)")).toEqual([2, { delay_ms: 250, factor: 2, max_delay_ms: 60_000 }]);
    expect(spec("hob.Retries(2)")).toEqual([2, null]);
  });

  it("makes the marked methods of a class functions, and an object whose hooks run before the first local call", () => {
    const statements = `class Base:
    @hob.enter()
    def first(self): self.log = ["first"]
@app.cls(timeout=3)
class Model(Base):
    @hob.enter()
    def load(self): self.log.append("load")
    @hob.method()
    def predict(self, x): return [*self.log, self.double(x)]
    def double(self, x): return x * 2
model = Model()`;
    const seen =
      "[list(app.functions), app.functions['Model.predict'].spec['timeout_ms'], model.predict(3), model.predict.local(4), model.double(5)]";
    expect(evaluate(statements, seen)).toEqual([["Model.predict"], 3000, ["first", "load", 6], ["first", "load", 8], 10]);
    expect(evaluate(`${statements}\nclass Other(Model): pass`, "[isinstance(Model.cls(), Model), Other().double(4)]")).toEqual([
      true,
      8,
    ]);
  });

  it.each([
    ["class M: pass", /M has no method to call; put @hob.method\(\) above one/],
    [
      "class M:\n    def __init__(self, a): ...\n    @hob.method()\n    def f(self): ...",
      /its constructor wants a; give defaults/,
    ],
    ["class M:\n    @hob.method()\n    @staticmethod\n    def f(): ...", /put it directly above the `def`/],
    ["def f(): ...", /@app.cls decorates classes/],
  ])("refuses @app.cls() on %s with the remedy", (text, remedy) => {
    expect(evaluate(`@app.cls()\n${text}`, "1")).toMatch(remedy);
  });

  it.each([
    ['memory="512 megs"', 'ValueError: memory="512 megs" is not a size; write for example "512MiB"'],
    ["memory=5", "ValueError: memory=5 is 5 bytes, too little for any runtime; give at least 16MiB"],
    ["timeout=-1", "ValueError: timeout=-1 is out of range; give a positive number of seconds"],
    ['cpu="two"', "TypeError: cpu='two' is not a number of cores; write for example cpu=0.5"],
    ["retries=1.5", "TypeError: retries=1.5 is not a whole number; write for example retries=2"],
    [
      'retries=hob.Retries(2, delay="soon")',
      "TypeError: Retries(delay='soon') is not a time; write for example delay=\"1s\", or a number of seconds",
    ],
    ["retries=hob.Retries(101)", "ValueError: Retries(count=101) is out of range; give 0 to 100 further attempts"],
    [
      'retries=hob.Retries(2, delay="2m")',
      "ValueError: Retries(delay='2m') is longer than max_delay='60s'; lower the one or raise the other",
    ],
    [
      "min_containers=3, max_containers=2",
      "ValueError: min_containers=3 is more than max_containers=2; lower the one or raise the other",
    ],
    ['image="debian"', "TypeError: image='debian' is not an image; write for example hob.Image.host()"],
  ])("refuses %s in one sentence", (options, sentence) => {
    expect(evaluate(declared(options), "None")).toBe(sentence);
  });

  it("refuses a name that is no app's, and a thing that is no function", () => {
    expect(evaluate("hob.App('Two Words')", "None")).toMatch(/^ValueError: App\('Two Words'\): an app's name is 1 to 63/);
    expect(evaluate("app.function()(3)", "None")).toMatch(/^TypeError: @app.function decorates functions, and 3 is not one/);
  });

  it("says how to run a program that calls remotely without hob", () => {
    expect(evaluate(declared(""), "f.remote(1)")).toMatch(
      /^RuntimeError: f: a remote call needs hob; run this program with `hob run/,
    );
    expect(evaluate("far = hob.Function.from_name('other', 'far')", "far(1)")).toMatch(/its code is not here; call far.remote/);
    const versions = "[None, 3, 'd2f06a']";
    expect(evaluate("", `[hob.Function.from_name('other', 'far', version).app for version in ${versions}]`)).toEqual([
      ...["other@live", "other@3", "other@d2f06a"],
    ]);
    expect(evaluate("", "hob.Function.from_name('other', 'far', version='new')")).toMatch(
      /version='new' is no version; write a deployment/,
    );
  });

  it.each([
    ["(1, {2.5: b'hob', 'n': float('nan')})", '[1,{"2.5":{"$bytes":"aG9i"},"n":{"$float":"nan"}}]'],
    ["[{3}, range(2), (x for x in 'ab'), {'a': 1}.keys()]", '[[3],[0,1],["a","b"],["a"]]'],
    [
      "[datetime.date(2024, 1, 2), datetime.timedelta(seconds=3), pathlib.Path('/a'), decimal.Decimal('1.5')]",
      '["2024-01-02",3.0,"/a","1.5"]',
    ],
    ["[Colour.RED, Point(1, [Point(2, None)])]", '["red",{"x":1,"y":[{"x":2,"y":null}]}]'],
    ["'\\udc80'", '"\\udc80"'],
    ["'$5 \"$\"'", '"$5 \\"$\\""'],
  ])("encodes %s", (expression, json) => {
    const setUp = `import dataclasses, datetime, decimal, enum, pathlib
class Colour(enum.Enum):
    RED = "red"
@dataclasses.dataclass
class Point:
    x: int
    y: object`;
    expect(evaluate(setUp, `values.encode(${expression}).decode()`)).toBe(json);
  });

  it.each([
    ['{"x": [1, sys]}', 'EncodingError: result["x"][1] is a module; return numbers, text, lists, dicts or bytes'],
    ["{(1, 2): 3}", "EncodingError: result has the key (1, 2), a tuple; return dicts with text as keys"],
    [
      "{'$bytes': 'x'}",
      'EncodingError: result is a dict with the single key "$bytes", which hob keeps for itself; return another key',
    ],
    ["loop", "EncodingError: result[0] contains itself, or is nested more than 500 deep; return plain data"],
    ["1j", "EncodingError: result is a complex; return numbers, text, lists, dicts or bytes"],
  ])("refuses to encode %s, saying where", (expression, sentence) => {
    expect(evaluate("import sys\nloop = []\nloop.append(loop)", `values.encode(${expression}).decode()`)).toBe(sentence);
  });

  it("decodes bytes and the numbers that JSON lacks", () => {
    expect(evaluate("", 'repr(values.decode(b\'[{"$bytes":"aG9i"},{"$float":"-inf"},{"$float":"x"}]\'))')).toBe(
      "[b'hob', -inf, {'$float': 'x'}]",
    );
  });
});

describe("python3 -m hob._local", () => {
  writeFileSync(
    join(folder, "app.py"),
    `import hob
app = hob.App("test")

@app.function()
def square(x):
    return x * x

@app.local()
def main(limit: int = 3):
    print("squares below", limit)
    return list(square.map(range(limit)))

@app.local()
def fails():
    return square.remote(7)
`,
  );

  /** Runs the entry as `hob run` does; `respond` gives the answer to each call that it makes. */
  async function local(
    entry: string,
    args: string,
    respond: (input: unknown[]) => object,
  ): Promise<{ result: Frame & { name: "result" }; code: number | null; text: string }> {
    const child = spawn(python, ["-m", "hob._local", "app.py", entry, args], {
      cwd: folder,
      env: { PYTHONPATH: sdk },
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    const socket = child.stdio[3] as Duplex;
    const pool = createMapPool(
      (head, payload) => {
        for (const bytes of encodeFrame("mapNews", head, payload)) socket.write(bytes);
      },
      (input) => (respond(input) as { value?: unknown }).value,
    );
    const decode = createFrameDecoder();
    const done = Promise.withResolvers<Frame & { name: "result" }>();
    let text = "";
    child.stdout?.on("data", (data: Buffer) => {
      text += data.toString();
    });
    socket.on("data", (piece: Buffer) => {
      for (const frame of decode(piece)) {
        if (frame.name === "result") done.resolve(frame);
        if (frame.name === "map" || frame.name === "mapInputs" || frame.name === "mapTake") pool.hear(frame);
        if (frame.name !== "childCall") continue;
        const [positional = ""] = cutPayload(frame, [frame.head.positional, frame.head.keywords]).map(String);
        const { failure, value } = respond(JSON.parse(positional) as unknown[]) as { failure?: never; value?: unknown };
        const head = failure ? { id: frame.head.id, failure } : { id: frame.head.id };
        for (const bytes of encodeFrame("childResult", head, [Buffer.from(failure ? "" : JSON.stringify(value))]))
          socket.write(bytes);
      }
    });
    const [result, [code]] = await Promise.all([done.promise, once(child, "close") as Promise<[number | null]>]);
    return { result, code, text };
  }

  it("runs the entry here and its functions through fd 3", async () => {
    const { result, code, text } = await local("", '{"limit": 100}', ([x]) => ({ value: Number(x) ** 2 }));
    expect(result.payload.toString()).toBe(JSON.stringify(Array.from({ length: 100 }, (_, x) => x * x)));
    expect([code, text]).toEqual([0, "squares below 100\n"]);
  });

  it("reports a remote failure as the program's own, with both tracebacks", async () => {
    const remote = { kind: "timeout", type: "", message: "too slow", traceback: "there" };
    const { result, code } = await local("fails", "[]", () => ({ failure: remote }));
    expect(code).toBe(1);
    expect(result.head.failure).toMatchObject({ kind: "exception", type: "hob.CallTimeout", message: "too slow" });
    expect(result.head.failure?.traceback).toMatch(
      /File "app.py", line 15, in fails[\s\S]*hob.CallTimeout: too slow\s+remote traceback:\s+there/,
    );
  });

  it("refuses an entry that is not there, and arguments that do not fit", async () => {
    const unknown = await local("other", "[]", () => ({}));
    expect(unknown.result.head.failure).toMatchObject({
      kind: "arguments",
      message: "app.py: no local entry 'other' to run; there are: fails, main",
    });
    const wrong = await local("main", '{"size": 1}', () => ({}));
    expect(wrong.result.head.failure?.message).toBe(
      "main: got an unexpected keyword argument 'size'; it is main(limit: int = 3)",
    );
  });
});
