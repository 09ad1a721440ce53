// A small project for an empty folder: one file to run, change and save.

import { existsSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { HobError, systemError } from "../base/errors.ts";

export type Language = "python" | "typescript";

/** An app is known to the pool by its name: the folder's, so that two folders have two. */
const appName = (root: string): string =>
  basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "") || "hello";

const files: Record<Language, (app: string) => Record<string, string>> = {
  python: (app) => ({
    "app.py": `import hob

app = hob.App("${app}")


@app.function()
def greet(name: str = "world") -> str:
    """Change the greeting, save, and look at "Last save"."""
    print(f"greeting {name}")
    return f"hello {name}"


@app.function()
def greet_all(names: list[str]) -> list[str]:
    """Greets everybody, each in a call of its own."""
    return list(greet.map(names))
`,
  }),
  typescript: (app) => ({
    "app.ts": `import { App } from "hob";

const app = new App("${app}");

/** Change the greeting, save, and look at "Last save". */
export const greet = app.function({}, async (name = "world") => {
  console.log(\`greeting \${name}\`);
  return \`hello \${name}\`;
});
`,
    "package.json": `{ "name": "${app}", "private": true, "type": "module" }\n`,
  }),
};

/** Returns the files that were made. Throws a HobError, and overwrites nothing, where one of them is there. */
export function createFirstProject(root: string, language: Language): string[] {
  const made = Object.entries(files[language](appName(root)));
  const there = made.find(([name]) => existsSync(join(root, name)));
  if (there)
    throw new HobError("usage", `${there[0]} is there already`, { remedy: "the folder is not empty: add a function to it" });
  for (const [name, content] of made) {
    try {
      writeFileSync(join(root, name), content, { flag: "wx" });
    } catch (error) {
      throw systemError(`making ${join(root, name)}`, error);
    }
  }
  return made.map(([name]) => name);
}
