// ⑤ apt's sources as the node has them, and what they become for a suite that a build wants. Pure.

export interface AptSource {
  uri: string;
  suite: string;
  components: readonly string[];
  /** As in a line's brackets, but for signed-by and architectures: "trusted=yes". */
  options: readonly string[];
  /** Path of a key on the node, an armoured key itself, or "". */
  signedBy: string;
}

/** sources.list(5), one line a source. */
export function parseSourcesList(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!match) return [];
    const [, bracket = "", uri = "", suite = "", components = ""] = match;
    const options = bracket.split(/\s+/).filter(Boolean);
    const signedBy = options.find((option) => option.startsWith("signed-by="))?.slice("signed-by=".length) ?? "";
    return [{ uri, suite, components: components.trim().split(/\s+/), options: passedOn(options), signedBy }];
  });
}

const passedOn = (options: readonly string[]): string[] =>
  options.filter((option) => !/^(signed-by|arch|arch[+-])=/.test(option));

/** The stanzas of a deb822 file: field (lower case) → value, continuation lines joined with newlines. */
function stanzas(text: string): Map<string, string>[] {
  return text.split(/\n\s*\n/).map((stanza) => {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      const field = /^([A-Za-z][\w-]*):\s*(.*)$/.exec(line);
      if (line.startsWith("#")) continue;
      if (field) {
        last = (field[1] ?? "").toLowerCase();
        fields.set(last, (field[2] ?? "").trim());
      } else if (/^\s/.test(line) && last !== "") {
        fields.set(last, `${fields.get(last)}\n${line.trim() === "." ? "" : line.trim()}`.trimStart());
      }
    }
    return fields;
  });
}

/** Files *.sources, in deb822's form. */
export function parseDeb822(text: string): AptSource[] {
  return stanzas(text).flatMap((fields) => {
    const words = (name: string): string[] => (fields.get(name) ?? "").split(/\s+/).filter(Boolean);
    if (!words("types").includes("deb") || fields.get("enabled")?.toLowerCase() === "no") return [];
    const options = ["trusted", "check-valid-until", "check-date", "allow-insecure", "by-hash"].flatMap((name) => {
      const value = fields.get(name);
      return value === undefined ? [] : [`${name}=${value}`];
    });
    return words("uris").flatMap((uri) =>
      words("suites").map((suite) => ({
        ...{ uri, suite, components: words("components"), options },
        signedBy: fields.get("signed-by") ?? "",
      })),
    );
  });
}

const archive = "http://deb.debian.org";
/** They have no updates of their own. */
const rolling = new Set(["sid", "unstable", "experimental"]);

/** Debian's own archive for a suite: what an image's sources.list says, wherever it was built. */
export function debianSources(suite: string): AptSource[] {
  const source = (path: string, name: string): AptSource => ({
    ...{ uri: `${archive}/${path}`, suite: name, components: ["main"], options: [], signedBy: "" },
  });
  if (rolling.has(suite)) return [source("debian", suite)];
  return [source("debian", suite), source("debian", `${suite}-updates`), source("debian-security", `${suite}-security`)];
}

/**
 * The node's mirrors of Debian, for `suite`: those that it has for its own release, `codename`. Without any, Debian's own. Sources that
 * only the node can read (file:, cdrom:) are none.
 */
export function sourcesFor(sources: readonly AptSource[], codename: string, suite: string): AptSource[] {
  const pocket = new RegExp(
    `^(?:${[codename, suite].map((name) => name.replace(/\W/g, "\\$&")).join("|")})(-updates|-security)?$`,
  );
  const found = sources.flatMap((source) => {
    const match = pocket.exec(source.suite);
    if (!match || !source.components.includes("main") || !/^https?:/.test(source.uri)) return [];
    if (match[1] && rolling.has(suite)) return [];
    return [{ ...source, suite: `${suite}${match[1] ?? ""}` }];
  });
  return found.length > 0 ? found : debianSources(suite);
}

/** One line of sources.list(5); `key` is where the source's own key lies, or "". */
export function sourceLine({ uri, suite, components, options }: AptSource, key = ""): string {
  const all = [...options, ...(key ? [`signed-by=${key}`] : [])];
  return `deb ${all.length > 0 ? `[${all.join(" ")}] ` : ""}${uri} ${suite} ${components.join(" ")}`;
}

/** The lines of `apt-config dump`: key → value; of lists the last. */
export function parseAptConfig(text: string): Map<string, string> {
  return new Map([...text.matchAll(/^(\S+) "(.*)";$/gm)].map((match) => [match[1] ?? "", match[2] ?? ""]));
}
