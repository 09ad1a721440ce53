// Random TypeScript projects, and random edits of them: definitions in modules that use one another in every way that the language has.

import fc from "fast-check";
import type { Files } from "./description.ts";

const count = 9;
const modules = 3;

/** The functions that a project declares. */
export const entries = [
  ["app.ts", "f"],
  ["app.ts", "g"],
  ["app.ts", "h"],
  ["app.ts", "Model.m"],
  ["app.ts", "Model.n"],
  ["more.ts", "s"],
] as const;

/** How a definition comes to its value E, which is a sum over others: at import or at a call, kept somewhere or not. */
const kinds: Record<string, (name: string, value: string) => string> = {
  plain: (d, e) => `export function ${d}(): number {\n  return ${e};\n}`,
  arrow: (d, e) => `export const ${d} = (): number => ${e};`,
  expression: (d, e) => `export const ${d} = function (): number {\n  return ${e};\n};`,
  constant: (d, e) => `const ${d}_v = ${e};\nexport const ${d} = () => ${d}_v;`,
  variable: (d, e) => `let ${d}_v = 0;\n${d}_v = ${e};\nexport function ${d}() {\n  return ${d}_v;\n}`,
  exported: (d, e) => `export const ${d}_t = { value: ${e} };\nexport const ${d} = () => ${d}_t.value;`,
  table: (d, e) => `const ${d}_t: Record<string, number> = {};\n${d}_t["x"] = ${e};\nexport const ${d} = () => ${d}_t["x"]!;`,
  cached: (d, e) =>
    `const ${d}_c = new Map<number, number>();\nexport function ${d}() {\n  if (!${d}_c.has(0)) ${d}_c.set(0, ${e});\n  return ${d}_c.get(0)!;\n}`,
  lazy: (d, e) => `let ${d}_g: number | undefined;\nexport function ${d}() {\n  ${d}_g ??= ${e};\n  return ${d}_g;\n}`,
  attribute: (d, e) => `export function ${d}(): number {\n  return ((${d} as any).kept ??= ${e});\n}`,
  once: (d, e) =>
    `function ${d}_once<T>(make: () => T): () => T {\n  let kept: T | undefined;\n  return () => (kept ??= make());\n}\nexport const ${d} = ${d}_once(() => ${e});`,
  default: (d, e) => `export function ${d}(value: number = ${e}) {\n  return value;\n}`,
  closure: (d, e) => `export const ${d} = (() => {\n  const value = ${e};\n  return () => value;\n})();`,
  late: (d, e) =>
    `function ${d}_make() {\n  const kept: number[] = [];\n  return () => {\n    if (kept.length === 0) kept.push(${e});\n    return kept[0]!;\n  };\n}\nexport const ${d} = ${d}_make();`,
  functions: (d, e) =>
    `const ${d}_o = {\n  value() {\n    return ${e};\n  },\n  other: () => 1,\n};\nexport const ${d} = () => ${d}_o.value() + ${d}_o.other();`,
  handlers: (d, e) =>
    `function ${d}_h() {\n  return ${e};\n}\nconst ${d}_o = { h: ${d}_h };\nexport const ${d} = () => ${d}_o.h();`,
  getter: (d, e) => `const ${d}_o = {\n  get value() {\n    return ${e};\n  },\n};\nexport const ${d} = () => ${d}_o.value;`,
  object: (d, e) =>
    `export class ${d}_C {\n  run() {\n    return ${e};\n  }\n}\nexport function ${d}() {\n  return new ${d}_C().run();\n}`,
  instance: (d, e) =>
    `class ${d}_C {\n  value: number;\n  constructor() {\n    this.value = ${e};\n  }\n  run() {\n    return this.value;\n  }\n}\nconst ${d}_o = new ${d}_C();\nexport const ${d} = () => ${d}_o.run();`,
  field: (d, e) =>
    `class ${d}_C {\n  #value = ${e};\n  get value() {\n    return this.#value;\n  }\n}\nexport const ${d} = () => new ${d}_C().value;`,
  statics: (d, e) =>
    `class ${d}_C {\n  static value = ${e};\n  static run() {\n    return ${d}_C.value;\n  }\n}\nexport const ${d} = () => ${d}_C.run();`,
  keeping: (d, e) =>
    `class ${d}_C {\n  value: number | undefined;\n  run() {\n    if (this.value === undefined) this.value = ${e};\n    return this.value;\n  }\n}\nconst ${d}_o = new ${d}_C();\nexport const ${d} = () => ${d}_o.run();`,
  inherited: (d, e) =>
    `class ${d}_B {\n  run(): number {\n    return ${e};\n  }\n}\nclass ${d}_C extends ${d}_B {\n  override run() {\n    return super.run() + 1;\n  }\n}\nexport const ${d} = () => new ${d}_C().run();`,
  living: (d, e) =>
    `class ${d}_C {\n  run(): number {\n    return ${e};\n  }\n}\nconst ${d}_o = new ${d}_C();\nexport const ${d} = () => ${d}_o.run();`,
  generator: (d, e) =>
    `function* ${d}_all() {\n  yield 1;\n  yield ${e};\n}\nexport const ${d} = () => [...${d}_all()].reduce((sum, each) => sum + each, 0);`,
  passed: (d, e) =>
    `function ${d}_fill(into: number[]) {\n  if (into.length === 0) into.push(${e});\n  return into[0]!;\n}\nconst ${d}_l: number[] = [];\nexport const ${d} = () => ${d}_fill(${d}_l);`,
  aliased: (d, e) =>
    `const ${d}_a: { kept?: number } = {};\nconst ${d}_get = () => ${d}_a;\nexport function ${d}() {\n  const found = ${d}_get();\n  found.kept ??= ${e};\n  return found.kept;\n}`,
  destructured: (d, e) => `const { a: ${d}_a = 0 } = { a: ${e} };\nexport const ${d} = () => ${d}_a;`,
  conditional: (d, e) =>
    `let ${d}_v: () => number;\nif (${d.length} > 0) ${d}_v = () => ${e};\nelse ${d}_v = () => 0;\nexport const ${d} = () => ${d}_v();`,
  bound: (d, e) => `const ${d}_base = () => ${e};\nconst ${d}_kept = ${d}_base;\nexport const ${d} = () => ${d}_kept();`,
  mapped: (d, e) =>
    `const ${d}_all = [() => ${e}, () => 2];\nexport const ${d} = () => ${d}_all.map((each) => each()).reduce((sum, each) => sum + each, 0);`,
  registered: (d, e) =>
    `import { registry as ${d}_r } from "./registry.ts";\n${d}_r.set("${d}", () => ${e});\nexport const ${d} = () => ${d}_r.get("${d}")!();`,
};
/** More than types: whoever reaches them is a bundle for itself. */
const bundledKinds: typeof kinds = {
  enumerated: (d, e) => `enum ${d}_E {\n  Value = ${e},\n}\nexport const ${d} = (): number => ${d}_E.Value;`,
  namespaced: (d, e) => `namespace ${d}_N {\n  export const value = ${e};\n}\nexport const ${d} = () => ${d}_N.value;`,
};
const allKinds = { ...kinds, ...bundledKinds };

/** How a module names what is in another. */
const styles = ["named", "renamed", "whole", "barrel", "default", "aliased"] as const;
type Style = (typeof styles)[number];

interface Definition {
  kind: string;
  value: number;
  uses: number[];
  home: number; // its module
  style: Style;
  suffix: number; // of its name
}
export interface Edit {
  at: number;
  what: "value" | "kind" | "uses" | "comment" | "entry" | "style" | "rename" | "move" | "timeout" | "import" | "body";
  kind: string;
  pick: number;
}
/** `used`: what f, g, h, Model.m, Model.n, the enter hook and s use. */
export interface Program {
  definitions: Definition[];
  used: number[];
  comments: number;
  timeout: number;
  imports: number;
  calm: boolean;
}

/** Of calm projects: new bodies can be put in place, when calls have kept nothing. */
const calmKinds = ["plain", "arrow", "expression", "object", "generator", "field", "functions", "passed", "lazy"];
const kind = fc.oneof(
  { weight: 80, arbitrary: fc.constantFrom(...Object.keys(kinds)) },
  { weight: 1, arbitrary: fc.constantFrom(...Object.keys(bundledKinds)) },
);
const style = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom(...styles.filter((each) => each !== "default")) },
  { weight: 1, arbitrary: fc.constant("default" as const) },
);

export const program: fc.Arbitrary<Program> = fc.record({
  definitions: fc.tuple(
    ...Array.from({ length: count }, (_, at) =>
      fc.record({
        kind,
        value: fc.nat(99),
        uses: fc.uniqueArray(fc.nat(Math.max(0, at - 1)), { minLength: 1, maxLength: 2 }).map((used) => (at === 0 ? [] : used)),
        home: fc.constant(Math.floor((at * modules) / count)),
        style,
        suffix: fc.constant(0),
      }),
    ),
  ),
  used: fc.array(fc.integer({ min: 2, max: count - 1 }), { minLength: 7, maxLength: 7 }),
  comments: fc.constant(0),
  timeout: fc.constant(1),
  imports: fc.constant(0),
  calm: fc.oneof({ weight: 2, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
});
export const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(count - 1),
  what: fc.oneof(
    { weight: 12, arbitrary: fc.constant("value" as const) },
    { weight: 3, arbitrary: fc.constantFrom("kind" as const, "uses" as const, "body" as const, "timeout" as const) },
    {
      weight: 4,
      arbitrary: fc.constantFrom(...(["comment", "entry", "style", "rename", "move", "import"] as const)),
    },
  ),
  kind,
  pick: fc.nat(1000),
});

export function edited(before: Program, { at, what, kind: next, pick }: Edit): Program {
  const { definitions, used } = before;
  const mine = definitions[at]!;
  const but = (changes: Partial<Definition>): Program => ({
    ...before,
    definitions: definitions.map((each, index) => (index === at ? { ...each, ...changes } : each)),
  });
  const value = mine.value + 1 + (pick % 7);
  switch (what) {
    case "comment":
      return { ...before, comments: before.comments + 1 };
    case "timeout":
      return { ...before, timeout: before.timeout + 1 };
    case "import":
      return { ...before, imports: (before.imports + 1) % 3 };
    case "entry":
    case "body": {
      const entry = pick % used.length;
      return { ...before, used: used.map((each, index) => (index === entry ? 2 + ((each + 1) % (count - 2)) : each)) };
    }
    case "value":
      return but({ value });
    case "kind":
      return but({ kind: next, value });
    case "uses":
      return but({ uses: at === 0 ? [] : [pick % at], value });
    case "style":
      return but({ style: styles[pick % styles.length]! });
    case "rename":
      return but({ suffix: mine.suffix + 1 });
    case "move": {
      // Between what it uses and what uses it, so that modules import one another in one direction.
      const lowest = Math.max(0, ...mine.uses.map((each) => definitions[each]!.home));
      const highest = Math.min(modules - 1, ...definitions.filter(({ uses }) => uses.includes(at)).map(({ home }) => home));
      return but({ home: lowest + (pick % (highest - lowest + 1)) });
    }
  }
}

export function sourcesOf({ definitions, used, comments, timeout, imports, calm }: Program, app: string): Files {
  const nameOf = (at: number): string => `d${at}${"x".repeat(definitions[at]!.suffix)}`;

  /** A module's text: its imports, and `make`, given how it names a definition. */
  function moduleText(home: number, make: (name: (at: number) => string) => string[]): string {
    const wanted = new Set<string>();
    const name = (at: number): string => {
      const { home: other, style: how } = definitions[at]!;
      const d = nameOf(at);
      const file = `"./m${other}.ts"`;
      if (other === home) return d;
      const style = how === "default" && calm ? "named" : how;
      const [line, said] = {
        named: [`import { ${d} } from ${file};`, d],
        renamed: [`import { ${d} as my_${d} } from ${file};`, `my_${d}`],
        whole: [`import * as m${other} from ${file};`, `m${other}.${d}`],
        barrel: [`import { ${d} as all_${d} } from "./all${other}.ts";`, `all_${d}`],
        default: [`import default${other} from ${file};`, `default${other}.${d}`],
        aliased: [`import { sub as sub${other} } from "./all${other}.ts";`, `sub${other}.${d}`],
      }[style] as [string, string];
      wanted.add(line);
      return said;
    };
    const bodies = make((at) => `${name(at)}()`);
    return `${[...[...wanted].sort(), ...bodies].join("\n\n")}\n`;
  }

  const sources: Files = {
    "the.ts": `import { App } from "hob";\n\nexport const app = new App("${app}");\n`,
    "registry.ts": "export const registry = new Map<string, () => number>();\n",
  };
  if (imports > 0)
    sources["effect.ts"] =
      `import { registry } from "./registry.ts";\n\nregistry.set("effect", () => ${definitions[0]!.value});\n`;
  for (let home = 0; home < modules; home++) {
    const own = definitions.flatMap((each, at) => (each.home === home ? [at] : []));
    const note = "// note\n".repeat(home === 1 ? comments : 0);
    const text = moduleText(home, (name) =>
      own.map((at) => {
        const { kind: how, value, uses } = definitions[at]!;
        return allKinds[calm && !calmKinds.includes(how) ? calmKinds[(how.length * 7 + at) % 7]! : how]!(
          nameOf(at),
          [value, ...uses.map(name)].join(" + "),
        );
      }),
    );
    const isDefault = definitions.some((each) => each.home === home && each.style === "default" && !calm);
    sources[`m${home}.ts`] =
      `${note}${text}${isDefault ? `\nexport default { ${own.map(nameOf).join(", ")} };\n` : "export {};\n"}`;
    sources[`all${home}.ts`] = `export * from "./m${home}.ts";\nexport * as sub from "./m${home}.ts";\n`;
  }
  // All of them, since a process evaluates a module once for all of its functions, and one of those answers with what is registered.
  const effects = `${[0, 1, 2].map((home) => `import "./m${home}.ts";\n`).join("")}${imports === 2 ? 'import "./effect.ts";\n' : ""}`;
  sources["app.ts"] = `import { registry } from "./registry.ts";
import { app } from "./the.ts";
${effects}${moduleText(-1, (name) => {
  const [f, g, h, m, n] = used.map(name);
  const load = calm ? "7" : name(used[5]!); // what it reaches runs at load
  return [
    `/** ${"It answers. ".repeat(comments % 3)} */
export const f = app.function({ timeout: ${timeout} }, async () => {
  await null;
  return ${f};
});`,
    `export const g = app.function({}, function* () {
  yield ${g};
  yield [...registry.values()].reduce((sum, each) => sum + each(), 0);
});`,
    `async function* later(first: number) {
  yield first;
  yield (await import("./m${definitions[used[2]!]!.home}.ts")).${nameOf(used[2]!)}();
}`,
    `export const h = app.function({}, async function* () {
  yield* later(${h});
  yield await f();
});`,
    `export const Model = app.cls({}, class {
  loaded = 0;
  kept = new Map<number, number>();
  async enter() {
    await null;
    this.loaded = ${load};
  }
  get thousands() {
    return this.loaded * 1000;
  }
  m() {
    return this.thousands + ${m};
  }
  async n() {
    if (!this.kept.has(0)) this.kept.set(0, ${n});
    return this.kept.get(0)! + this.m();
  }
});`,
  ];
})}`;
  sources["more.ts"] = `import { app } from "./the.ts";\n${moduleText(-1, (name) => [
    `export const s = app.function({ timeout: ${timeout} }, () => ${name(used[6]!)});`,
  ])}`;
  return sources;
}
