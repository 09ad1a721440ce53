// Which build of an image starts where: whatever is asked for, nothing is run twice and nothing waits without a reason.

import fc from "fast-check";
import { expect, it } from "vitest";
import { type BuilderView, type BuildView, planBuilds } from "../../control/images/plan.ts";
import { hostImageKey } from "../../proto/image.ts";

const nodeOf = (name: string, more: Partial<BuilderView> = {}): BuilderView => ({
  ...{ name, cores: 4, cpuUsed: 0, ready: true, images: new Map([[hostImageKey, `host of ${name}`]]) },
  ...more,
});
const nothing = () => undefined;

it("starts after the longest part that is known, on the node with fewest builds, then with most cores free", () => {
  const builds: BuildView[] = [
    { keys: ["a"], node: "busy" },
    { keys: ["b", "b1", "b2"], node: undefined },
    { keys: [hostImageKey, "h1"], node: undefined },
    { keys: ["c", "c1"], node: undefined },
  ];
  const known = new Map([
    ["b1", "digest of b1"],
    ["c", "digest of c"],
    ["c1", "digest of c1"],
  ]);
  const nodes = [nodeOf("busy"), nodeOf("half", { cpuUsed: 2 }), nodeOf("free"), nodeOf("new", { cpuUsed: -9, ready: false })];
  const plan = planBuilds(builds, nodes, (key) => known.get(key));
  expect(plan.starts).toEqual([
    { build: builds[1], node: "free", stepsDone: 1, from: "digest of b1" },
    { build: builds[2], node: "half", stepsDone: 0, from: "host of half" },
  ]);
  expect(plan.done).toEqual([{ build: builds[3], digest: "digest of c1" }]);
});

it("two images that share a step: the second waits for it, and goes on from it", () => {
  const [first, second, other] = [
    { keys: ["base", "shared", "one"], node: undefined },
    { keys: ["base", "shared", "two"], node: undefined },
    { keys: ["base2"], node: undefined },
  ] as [BuildView, BuildView, BuildView];
  const nodes = [nodeOf("n")];
  expect(planBuilds([first, second, other], nodes, nothing).starts.map(({ build }) => build)).toEqual([first, other]);
  const running = { ...first, node: "n" };
  const base = new Map([["base", "b"]]);
  expect(planBuilds([running, second], nodes, (key) => base.get(key)).starts).toEqual([]);
  const shared = new Map([...base, ["shared", "s"]]);
  expect(planBuilds([running, second], nodes, (key) => shared.get(key)).starts).toEqual([
    { build: second, node: "n", stepsDone: 1, from: "s" },
  ]);
});

it("no step is run by two builds at once, and what could start starts", () => {
  const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 });
  const keysOf = (steps: readonly string[]): string[] => steps.map((_, index) => steps.slice(0, index + 1).join("/"));
  const build = fc.record({ keys: path.map(keysOf), node: fc.constantFrom(undefined, "n1", "n2") });
  fc.assert(
    fc.property(
      fc.uniqueArray(build, { selector: ({ keys }) => keys.at(-1), maxLength: 8 }),
      fc.uniqueArray(path.map((steps) => steps.join("/"))),
      (builds, done) => {
        const known = (key: string) => (done.includes(key) ? `digest of ${key}` : undefined);
        const next = ({ keys }: BuildView) => keys.slice(keys.findLastIndex((key) => known(key) !== undefined) + 1);
        const before = builds.filter(({ node }) => node !== undefined);
        const { starts, done: finished } = planBuilds(builds, [nodeOf("n1", { cores: 99 }), nodeOf("n2", { cores: 99 })], known);
        for (const [index, { build: started, from, stepsDone }] of starts.entries()) {
          const others = [...before, ...starts.slice(0, index).map((start) => start.build)];
          expect(others.flatMap(({ keys }) => keys)).not.toContain(next(started)[0]);
          expect(from).toBe(known(started.keys[stepsDone]!) ?? "");
        }
        const left = builds.filter((each) => each.node === undefined && !starts.some((start) => start.build === each));
        for (const waiting of left) {
          const runs = [...before, ...starts.map((start) => start.build)].flatMap(({ keys }) => keys);
          const isDone = finished.some((each) => each.build === waiting);
          expect(isDone).toBe(next(waiting).length === 0);
          if (!isDone) expect(runs).toContain(next(waiting)[0]);
        }
      },
    ),
  );
});
