// ⑧ `hob completion SHELL`: a script that completes commands and options, made from the commands themselves.

import type { Command } from "commander";
import { HobError } from "../base/errors.ts";

interface Node {
  path: string; // "", "images", "images build"
  words: string[]; // commands and options
  described: { word: string; description: string }[];
}

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("a script for the shell that completes commands and options")
    .argument("<shell>", "bash, zsh or fish")
    .addHelpText(
      "after",
      "\nExample:\n  hob completion bash > ~/.local/share/bash-completion/completions/hob\n  hob completion fish > ~/.config/fish/completions/hob.fish\n",
    )
    .action((shell: string) => {
      const script = scripts[shell];
      if (!script) throw new HobError("usage", `there is no completion for ${shell}`, { remedy: "write bash, zsh or fish" });
      process.stdout.write(script(nodesOf(program, "")));
    });
}

function nodesOf(command: Command, path: string): Node[] {
  const commands = command.commands.map((child) => ({ word: child.name(), description: child.description() }));
  const options = command.options
    .filter(({ hidden }) => !hidden)
    .map(({ long, short, description }) => ({ word: long ?? short ?? "", description }));
  const described = [...commands, ...options, { word: "--help", description: "what it does, with examples" }];
  const own: Node = { path, words: described.map(({ word }) => word), described };
  return [own, ...command.commands.flatMap((child) => nodesOf(child, path === "" ? child.name() : `${path} ${child.name()}`))];
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

// The path of commands is what of the words typed so far names one; files are completed where nothing else is.
const scripts: Readonly<Record<string, (nodes: readonly Node[]) => string>> = {
  bash: (nodes) => `# hob: completion for bash
_hob() {
  local word=\${COMP_WORDS[COMP_CWORD]} path= each
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$each" in
      ${nodes
        .filter(({ path }) => path !== "")
        .map(({ path }) => `"${path}"`)
        .join("|")}) path="\${path:+$path }$each" ;;
    esac
  done
  case "$path" in
${nodes.map(({ path, words }) => `    "${path}") COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$word")) ;;`).join("\n")}
  esac
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _hob hob
`,
  zsh: (nodes) => `#compdef hob
# hob: completion for zsh
_hob() {
  local path_= each
  for each in "\${words[@]:1:$((CURRENT - 2))}"; do
    case "\${path_:+$path_ }$each" in
      ${nodes
        .filter(({ path }) => path !== "")
        .map(({ path }) => `"${path}"`)
        .join("|")}) path_="\${path_:+$path_ }$each" ;;
    esac
  done
  local -a found
  case "$path_" in
${nodes.map(({ path, described }) => `    "${path}") found=(${described.map(({ word, description }) => quoted(`${word}:${description}`)).join(" ")}) ;;`).join("\n")}
  esac
  _describe hob found || _files
}
if [ "$funcstack[1]" = _hob ]; then _hob "$@"; else compdef _hob hob; fi
`,
  fish: (nodes) => `# hob: completion for fish
${nodes.flatMap(fishLines).join("\n")}
`,
};

function fishLines({ path, described }: Node): string[] {
  const parts = path.split(" ").filter((word) => word !== "");
  const condition =
    parts.length === 0 ? "__fish_use_subcommand" : parts.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
  return described.map(({ word, description }) => {
    const what = word.startsWith("--") ? `-l ${word.slice(2)}` : word.startsWith("-") ? `-s ${word.slice(1)}` : `-a ${word}`;
    return `complete -c hob -n ${quoted(condition)} ${what} -d ${quoted(description)}`;
  });
}
