// ② Images: a function's root filesystem, as a base and steps. Each method gives another image; nothing is built where it is written.

interface ImageStep {
  kind: string;
  arguments: string[];
  /** Of a copy: a path in the project. */
  source?: string;
}

/** What `hob` reads; as in the Python SDK. */
export interface ImageDefinition {
  source: string;
  reference: string;
  steps: ImageStep[];
}

const tag = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}";
const host = "(?:localhost|[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:\\d))(?::\\d{1,5})?";
const path = "[a-z0-9]+(?:[._-]+[a-z0-9]+)*";
const suites = /^[a-z][a-z0-9-]{0,31}$/;
const references = new RegExp(`^(?:${host}/)?${path}(?:/${path})*(?::${tag}|@sha256:[0-9a-f]{64}|:${tag}@sha256:[0-9a-f]{64})$`);
const aptNames = /^[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~-]+|\/[a-z][a-z0-9-]*)?$/;
const pipNames = /^[A-Za-z0-9][^\x00-\x1f\x7f]*$/;
const npmNames = /^[@A-Za-z0-9][^\x00-\x20\x7f]*$/;
const variableNames = /^[A-Za-z_][A-Za-z0-9_]*$/;
const users = /^(?:[a-z_][a-z0-9_-]{0,31}|\d{1,10})$/;

/** Made by `host`, `debian` and `oci`; immutable. */
export class Image {
  readonly definition: ImageDefinition;

  private constructor(source: string, reference = "", steps: ImageStep[] = []) {
    this.definition = { source, reference, steps };
  }

  /** The agent's own Python and Node runtimes, captured once as a content-addressed image. */
  static host(): Image {
    return new Image("host");
  }

  /** A minimal Debian of that suite, with its package manager. */
  static debian(suite = "bookworm"): Image {
    return new Image("debian", checked("debian", suite, suites, { what: "a suite", example: 'Image.debian("bookworm")' }));
  }

  /** An image of a registry, by its name with a tag or a digest; a name without a host is one of Docker's own registry. */
  static oci(reference: string): Image {
    const what = "HOST/NAME:TAG or HOST/NAME@sha256:DIGEST";
    return new Image(
      "oci",
      checked("oci", reference, references, { what, example: 'Image.oci("registry.example/team/name:1.0")' }),
    );
  }

  /** Packages of the distribution; for example `aptInstall("python3-numpy", "ffmpeg")`. */
  aptInstall(...packages: string[]): Image {
    return this.#with("apt", list("aptInstall", packages, aptNames, { what: "a package's name", example: '"python3-numpy"' }));
  }

  /** Python packages, as pip takes them; for example `pipInstall("httpx", "numpy>=2")`. */
  pipInstall(...packages: string[]): Image {
    return this.#with("pip", list("pipInstall", packages, pipNames, { what: "a requirement", example: '"numpy>=2"' }));
  }

  /** Node packages, as npm takes them, importable from anywhere; for example `npmInstall("zod@4")`. */
  npmInstall(...packages: string[]): Image {
    return this.#with("npm", list("npmInstall", packages, npmNames, { what: "a package", example: '"zod@4"' }));
  }

  /** Shell commands, each a step of its own. */
  run(...commands: string[]): Image {
    for (const command of some("run", commands, '"make install"')) {
      if (typeof command !== "string" || command.trim() === "" || command.includes("\0"))
        throw new TypeError(`run(${shown(command)}) is not a command; write for example run("make install")`);
    }
    return this.#and(commands.map((command) => ({ kind: "run", arguments: [command] })));
  }

  /**
   * A file or a folder of the project, by its path from the project's folder. A folder's files go below `target`; a file becomes `target`, or goes
   * into it when that ends with a slash. What .gitignore and .hobignore name stays out; an edit of a file makes another image.
   */
  copy(source: string, target: string): Image {
    const example = 'copy("assets", "/srv/assets")';
    if (typeof source !== "string" || source === "" || /[\0\\]/.test(source))
      throw new TypeError(`copy(${shown(source)}, …) is not a path in the project; write for example ${example}`);
    const clean = normal(source);
    if (clean.startsWith("/") || clean === ".." || clean.startsWith("../"))
      throw new TypeError(
        `copy(${shown(source)}, …) lies outside the project; give a path from the project's folder: ${example}`,
      );
    return this.#and([{ kind: "copy", arguments: [absolute("copy", target, example)], source: clean }]);
  }

  /** Environment variables; for example `env({ LANG: "C.UTF-8" })`. */
  env(variables: Record<string, string>): Image {
    const steps = Object.entries(variables ?? {}).map(([name, value]) => {
      if (!variableNames.test(name))
        throw new TypeError(`env: ${shown(name)} is not a variable's name; write for example env({ LANG: "C.UTF-8" })`);
      if (typeof value !== "string" || value.includes("\0"))
        throw new TypeError(
          `env({ ${name}: ${shown(value)} }): a variable's value is text; write for example env({ ${name}: "1" })`,
        );
      return { kind: "env", arguments: [name, value] };
    });
    return this.#and(some("env", steps, '{ LANG: "C.UTF-8" }'));
  }

  /** The folder in which later steps run. */
  workdir(path: string): Image {
    return this.#with("workdir", [absolute("workdir", path, 'workdir("/srv")')]);
  }

  /** Who later steps run as: a name that the image knows, or a number. */
  user(name: string): Image {
    return this.#with("user", [checked("user", name, users, { what: "a user's name or number", example: 'user("nobody")' })]);
  }

  #with(kind: string, given: string[]): Image {
    return this.#and([{ kind, arguments: given }]);
  }

  #and(steps: ImageStep[]): Image {
    const { source, reference, steps: before } = this.definition;
    return new Image(source, reference, [...before, ...steps]);
  }
}

interface Rule {
  what: string;
  example: string;
}

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

function some<T>(method: string, given: T[], example: string): T[] {
  if (given.length === 0) throw new TypeError(`${method}() has nothing to do; write for example ${method}(${example})`);
  return given;
}

function list(method: string, given: string[], pattern: RegExp, { what, example }: Rule): string[] {
  return some(method, given, example).map((one) => checked(method, one, pattern, { what, example: `${method}(${example})` }));
}

function checked(method: string, value: unknown, pattern: RegExp, { what, example }: Rule): string {
  if (typeof value !== "string" || !pattern.test(value))
    throw new TypeError(`${method}(${shown(value)}) is not ${what}; write for example ${example}`);
  return value;
}

/** As Python's posixpath.normpath: this module has no imports, so that a bundle of it runs anywhere. */
function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== ".." || !path.startsWith("/")) parts.push(part);
  }
  return `${path.startsWith("/") ? "/" : ""}${parts.join("/")}` || ".";
}

function absolute(method: string, path: unknown, example: string): string {
  if (typeof path !== "string" || !path.startsWith("/") || path.includes("\0") || path.split("/").includes(".."))
    throw new TypeError(`${method}: ${shown(path)} is not an absolute path in the image; write for example ${example}`);
  const clean = normal(path);
  return method === "copy" && path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}
