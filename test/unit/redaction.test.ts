// What is taken out of what people read, and what is left.

import fc from "fast-check";
import { expect, test } from "vitest";
import { cleaner, createRedaction } from "../../control/redaction.ts";
import { CallInfo } from "../../proto/gen/hob/v1/calls.ts";
import { Failure, type LogLine } from "../../proto/gen/hob/v1/common.ts";
import { MapResults } from "../../proto/gen/hob/v1/maps.ts";

const key = 'sk-4711/"quoted"+';
const clean = (values: Record<string, string[]>, text: string): string =>
  cleaner(new Map(Object.entries(values).map(([name, known]) => [name, new Set(known)])))?.(text) ?? text;

test.each([
  [key, "it is [secret API_KEY]!"],
  [JSON.stringify(key).slice(1, -1), "it is [secret API_KEY]!"],
  [Buffer.from(key).toString("base64"), "it is [secret API_KEY]=!"],
  [encodeURIComponent(key), "it is [secret API_KEY]!"],
  ["sk-4712", "it is sk-4712!"],
])("%s is printed as it should be", (printed, shown) => {
  expect(clean({ API_KEY: [key] }, `it is ${printed}!`)).toBe(shown);
});

test("each line of a value of many, the longer of two values, former values; nothing that is short", () => {
  const pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----";
  expect(clean({ PEM: [pem] }, "read MIIEvQIBADANBg")).toBe("read [secret PEM]");
  expect(clean({ A: ["secret-one"], B: ["secret-one-and-two"] }, "secret-one-and-two secret-one")).toBe("[secret B] [secret A]");
  expect(clean({ A: ["first-value", "second-value"] }, "first-value second-value")).toBe("[secret A] [secret A]");
  expect(clean({ PIN: ["12345"] }, "12345")).toBe("12345");
});

test("whatever a value is, no text keeps it", () => {
  const value = fc.string({ minLength: 6, maxLength: 40, unit: "binary" });
  const property = fc.property(value, fc.string(), fc.string(), (secret, before, after) => {
    expect(clean({ S: [secret] }, `${before}${secret}${after}`).includes(secret)).toBe("[secret S]".includes(secret));
  });
  fc.assert(property, { numRuns: 300 });
});

test("an app's deployments have its values, another app's lines stay; what a former control has handed out is known", () => {
  const redaction = createRedaction({
    apps: () => ["shop", "shop@2", "bank"],
    namesOf: (app) => (app === "shop@2" ? ["API_KEY", "GONE"] : []),
    valueOf: (_app, name) => (name === "API_KEY" ? "hunter2-hunter2" : undefined),
  });
  const lines = ["shop", "shop@2", "shop@3", "bank"].map((app) => ({ app, text: "hunter2-hunter2" }) as LogLine);
  const texts = redaction.lines(lines, ({ app }) => app).map(({ text }) => text);
  expect(texts).toEqual(["[secret API_KEY]", "[secret API_KEY]", "[secret API_KEY]", "hunter2-hunter2"]);
  redaction.handed("bank@1", "PIN", "1234-5678");
  expect(redaction.of("bank")?.("1234-5678")).toBe("[secret PIN]");

  const failure = Failure.fromPartial({
    kind: "exception",
    message: "bad hunter2-hunter2",
    frames: [{ source: 'x = "hunter2-hunter2"' }],
  });
  expect(redaction.failure("shop@3", failure)).toMatchObject({
    message: "bad [secret API_KEY]",
    frames: [{ source: 'x = "[secret API_KEY]"' }],
  });
  const results = MapResults.fromPartial({
    results: [
      { index: 0, value: { json: Buffer.from('"hunter2-hunter2"') } },
      { index: 1, failure },
    ],
  });
  const cleaned = MapResults.decode(redaction.results("shop", Buffer.from(MapResults.encode(results).finish()))).results;
  expect(cleaned[0]).toEqual(results.results[0]); // whoever made the map has its results as they are
  expect(cleaned[1]?.failure?.message).toBe("bad [secret API_KEY]");
  const call = CallInfo.fromPartial({ app: "shop", result: { json: Buffer.from('["hunter2-hunter2"]') } });
  expect(redaction.call(call).result?.json.toString()).toBe('["[secret API_KEY]"]');
  expect(redaction.call({ ...call, app: "elsewhere" }).result).toBe(call.result);
});
