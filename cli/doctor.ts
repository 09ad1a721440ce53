// ⑧ `hob doctor`: what this machine gives hob, what that means, and how to mend what is missing.

import type { Command } from "commander";
import { colour, printJson, printLine } from "./output.ts";

/** A pool cannot start on this machine. */
const missingCode = 3;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check this machine: kernel, FUSE, cgroups, runc, Python, network, disk, GPU")
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExample:\n  hob doctor --json | jq 'select(.state != \"ok\")'\n")
    .action(diagnose);
}

async function diagnose(flags: { json?: boolean }): Promise<void> {
  const findings = await examine();
  if (flags.json) {
    for (const { title: _, ...row } of findings) printJson(row);
  } else {
    const { formatFindings } = await import("./doctor/finding.ts");
    for (const line of formatFindings(findings)) printLine(tint(line));
    const missing = findings.filter(({ state }) => state === "missing").length;
    printLine(missing === 0 ? "\nA pool can run here." : `\nA pool cannot start here until what is marked ✗ is mended.`);
  }
  if (findings.some(({ state }) => state === "missing")) process.exitCode = missingCode;
}

async function examine() {
  const [kernel, cgroups, programs, machine, network] = await Promise.all([
    import("./doctor/kernel.ts"),
    import("./doctor/cgroups.ts"),
    import("./doctor/programs.ts"),
    import("./doctor/machine.ts"),
    import("./doctor/network.ts"),
  ]);
  const rows = await Promise.all([
    kernel.checkKernel(),
    programs.checkRoot(),
    kernel.checkFuse(),
    kernel.checkOverlay(),
    kernel.checkUserNamespaces(),
    cgroups.checkCgroups(),
    programs.checkRunc(),
    programs.checkUnshare(),
    programs.checkNode(),
    programs.checkPython(),
    network.checkNetwork(),
    machine.checkDisks(),
    machine.checkGpu(),
    machine.checkLeftovers(),
  ]);
  return rows.flat();
}

const markColours = { "✓": "green", "!": "yellow", "✗": "red" } as const;

function tint(line: string): string {
  const mark = line[0] as keyof typeof markColours;
  return mark in markColours ? colour(markColours[mark], mark) + line.slice(1) : colour("dim", line);
}
