// ⑥ The TypeScript SDK by itself: values on their way, declarations, functions without a pool.

import { describe, expect, it } from "vitest";
import { App, functionFromName, Image, type Retries } from "../../sdk/typescript/index.ts";
import { decodeValue, encodeValue } from "../../sdk/typescript/values.ts";

class Point {
  x = 1;
  y = 2;
}

describe("values", () => {
  it.each<[string, unknown, unknown]>([
    ["undefined", undefined, null],
    ["undefined in an object", { a: undefined, b: 1 }, { b: 1 }],
    ["not a number", [Number.NaN, Number.NEGATIVE_INFINITY], [{ $float: "nan" }, { $float: "-inf" }]],
    ["bytes", new Uint8Array([1, 2]), { $bytes: "AQI=" }],
    ["other typed arrays", new Float32Array([1, 0.5]), [1, 0.5]],
    ["a set", new Set([1, "a"]), [1, "a"]],
    ["a map", new Map([["a", 1]]), { a: 1 }],
    ["a date", new Date(0), "1970-01-01T00:00:00.000Z"],
    ["an address", new URL("https://example.org/a"), "https://example.org/a"],
    ["an instance of a class", new Point(), { x: 1, y: 2 }],
    ["a bigint that fits", 12n, 12],
    ["an iterator", [1, 2][Symbol.iterator](), [1, 2]],
  ])("encode %s", (_name, value, expected) => {
    expect(JSON.parse(encodeValue(value))).toEqual(expected);
  });

  const circle: unknown[] = [];
  circle.push({ back: circle });

  it.each<[unknown, string]>([
    [{ a: [1, () => 0] }, "result.a[1] is a function; return numbers, text, lists, objects or bytes"],
    [{ "odd key": Symbol("x") }, 'result["odd key"] is a symbol; return numbers, text, lists, objects or bytes'],
    [[Promise.resolve(1)], "result[0] is a Promise; return numbers, text, lists, objects or bytes"],
    [new Error("x"), "result is an Error; return numbers, text, lists, objects or bytes"],
    [process.stdout, "result is a "],
    [2n ** 80n, "result is a bigint too large for a number; return it as text"],
    [{ $bytes: "x" }, 'result is an object with the single key "$bytes", which hob keeps for itself; return another key'],
    [circle, "result[0].back contains itself, or is nested more than 500 deep; return plain data"],
  ])("refuse %o, saying where", (value, message) => {
    expect(() => encodeValue(value)).toThrow(message);
  });

  it("come back: bytes and the numbers that JSON lacks", () => {
    expect(decodeValue('[{"$bytes":"AQI="},{"$float":"inf"},{"$float":"other"},"$x"]')).toEqual([
      new Uint8Array([1, 2]),
      Number.POSITIVE_INFINITY,
      { $float: "other" },
      "$x",
    ]);
  });
});

describe("app.function", () => {
  const app = new App("test");

  it("declares what hob reads", () => {
    const made = app.function(
      { image: Image.host(), cpu: 0.5, memory: "1.5GiB", timeout: 2.5, retries: 1, maxContainers: 3 },
      () => 1,
      "made",
    );
    expect(made.describe()).toEqual({
      name: "made",
      image: { source: "host", reference: "", steps: [] },
      cpu: 0.5,
      memory_bytes: 1.5 * 2 ** 30,
      gpu: "",
      timeout_ms: 2500,
      retries: 1,
      backoff: null,
      min_containers: 0,
      max_containers: 3,
      buffer_containers: 0,
      concurrency: 1,
      idle_timeout_ms: 0,
      network: "internet",
      secrets: [],
      schedule: null,
    });
    expect(app.describe().functions.map((spec) => spec.name)).toContain("made");
  });

  it("declares what retries wait, as the Python SDK does", () => {
    const spec = (retries: number | Retries) => {
      const { retries: count, backoff } = app.function({ retries }, () => 1, "made").describe();
      return [count, backoff];
    };
    expect(spec({ count: 3, delay: "1s", backoff: 1.5, maxDelay: "2m" })).toEqual([
      3,
      { delay_ms: 1_000, factor: 1.5, max_delay_ms: 120_000 },
    ]);
    expect(spec({ count: 2, delay: 0.25 })).toEqual([2, { delay_ms: 250, factor: 2, max_delay_ms: 60_000 }]);
    expect(spec({ count: 2 })).toEqual([2, null]);
  });

  it.each<[object, string]>([
    [{ memory: "512 megs" }, 'memory "512 megs" is not a size; write for example "512MiB"'],
    [{ memory: 5 }, "memory 5 is 5 bytes, too little for any runtime; give at least 16MiB"],
    [{ timeout: -1 }, "timeout -1 is not a positive number of seconds; write for example timeout: 30"],
    [{ retries: 1.5 }, "retries 1.5 is not a whole number of 0 or more"],
    [{ retries: { count: 2, delay: "soon" } }, 'retries: delay "soon" is not a time; write for example delay: "1s"'],
    [{ retries: { count: 101 } }, "retries: count 101 is out of range; give 0 to 100 further attempts"],
    [{ retries: { count: 2, delay: "2m" } }, "retries: delay 2m is longer than maxDelay 60s"],
    [{ retries: { count: 2, wait: 1 } }, 'retries: "wait" is not an option; there are count, delay, backoff, maxDelay'],
    [{ minContainers: 3, maxContainers: 2 }, "minContainers 3 is more than maxContainers 2; lower the one or raise the other"],
    [{ memry: "1GiB" }, '"memry" is not an option of a function'],
    [{ image: "debian" }, "image is not an image; write for example Image.host()"],
  ])("refuses %o in one sentence", (options, message) => {
    expect(() => app.function(options, () => 1)).toThrow(message);
    expect(() => new App("Two Words")).toThrow(/an app's name is/);
  });

  it("runs here when it is called like a function, and says how to run it remotely", () => {
    const add = app.function({}, (a: number, b: number) => a + b, "add");
    expect([add(1, 2), add.local(3, 4), add.name, add.length]).toEqual([3, 7, "add", 2]);
    expect(() => add.spawn(1, 2)).toThrow("add: a remote call needs hob; run it with `hob run FILE::add`");
    expect(() => functionFromName("other", "far").local()).toThrow(/its code is not here/);
    const named = [undefined, 3, "d2f06a"].map((version) => functionFromName("other", "far", version ? { version } : {}).app);
    expect(named).toEqual(["other@live", "other@3", "other@d2f06a"]);
    expect(() => functionFromName("other", "far", { version: "new" })).toThrow(
      "version new is no version; write a deployment's number",
    );
    expect(() => functionFromName("other@3", "far")).toThrow("an app's name has no @");
  });
});
