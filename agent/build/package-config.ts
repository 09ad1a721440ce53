// ⑤ What pip's and npm's own configuration says about where packages come from. Pure.

const pipKeys = ["index-url", "extra-index-url", "find-links", "trusted-host", "timeout", "retries"];
const severalWords = new Set(["extra-index-url", "find-links", "trusted-host"]);
const addresses = new Set(["index-url", "extra-index-url", "find-links"]);

/** The options of [global] and [install] of a pip.conf. */
function parsePipConfig(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let section = "";
  let key = "";
  for (const line of text.split("\n")) {
    const head = /^\[(\w+)\]/.exec(line);
    const option = /^([\w-]+)\s*[=:]\s*(.*)$/.exec(line);
    if (head) [section, key] = [head[1] ?? "", ""];
    else if (option) {
      key = (option[1] ?? "").toLowerCase().replaceAll("_", "-");
      if (section === "global" || section === "install") found.set(key, (option[2] ?? "").trim());
    } else if (/^\s+\S/.test(line) && found.has(key)) found.set(key, `${found.get(key)} ${line.trim()}`.trim());
  }
  return found;
}

/** The variables that tell pip in a container the same; folders of the node mean nothing there. Later files win, variables over all. */
export function pipVariables(files: readonly string[], environment: NodeJS.ProcessEnv): Record<string, string> {
  const options = new Map(files.flatMap((file) => [...parsePipConfig(file)]));
  const variables: Record<string, string> = {};
  for (const key of pipKeys) {
    const name = `PIP_${key.toUpperCase().replaceAll("-", "_")}`;
    const value = environment[name] ?? options.get(key) ?? "";
    const words = severalWords.has(key) ? value.split(/\s+/) : [value];
    const usable = words.filter((word) => word !== "" && (!addresses.has(key) || /^https?:/.test(word)));
    if (usable.length > 0) variables[name] = usable.join(" ");
  }
  return variables;
}

const npmKept = /^(registry|strict-ssl|@[^:=\s]+:registry|\/\/\S+:_?(auth|authToken|username|password|_password|email))\s*=/;

/** The lines of npmrc files that say where packages come from and who asks for them. */
export function npmLines(files: readonly string[], environment: NodeJS.ProcessEnv): string[] {
  const lines = files.flatMap((file) => file.split("\n").map((line) => line.trim())).filter((line) => npmKept.test(line));
  const variable = Object.entries(environment).find(([name]) => name.toLowerCase() === "npm_config_registry");
  const expanded = lines.map((line) => line.replace(/\$\{(\w+)\}/g, (whole, name: string) => environment[name] ?? whole));
  return [...expanded, ...(variable?.[1] ? [`registry=${variable[1]}`] : [])].map((line) =>
    line.replace(/^(\S+?)\s*=\s*/, "$1="),
  );
}
