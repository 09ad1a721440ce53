// ⑧ `hob doctor`: what this machine gives hob, what that means, and how to mend what is missing.

import type { Command } from "commander";
import { colour, printJson, printLine } from "./output.ts";

/** A pool cannot start on this machine, or a boundary of its containers does not hold. */
const missingCode = 3;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check this machine: kernel, FUSE, cgroups, runc, Python, network, disk, GPU")
    .option("--isolation", "what a container of the pool cannot do, tried from inside of one")
    .option(
      "--control <address>",
      "with --isolation: control of that pool, unix:PATH; without it this installation's own is started",
    )
    .option("--json", "one JSON object a line")
    .addHelpText("after", "\nExamples:\n  hob doctor --json | jq 'select(.state != \"ok\")'\n  hob doctor --isolation\n")
    .action(diagnose);
}

interface DoctorFlags {
  json?: boolean;
  isolation?: boolean;
  control?: string;
}

async function probe(flags: DoctorFlags): Promise<void> {
  const { probeIsolation } = await import("./doctor/isolation.ts");
  const rows = await probeIsolation(flags.control);
  const open = rows.filter(({ held }) => !held);
  if (flags.json) for (const row of rows) printJson({ kind: "isolation", ...row });
  else {
    const width = Math.max(...rows.map(({ check }) => check.length));
    for (const { check, tries, held, found } of rows) {
      const line = `${held ? "✓" : "✗"} ${check.padEnd(width)}  ${held ? `cannot ${tries}` : `could ${tries}: ${found}`}`;
      printLine(tint(line));
    }
    const all = `${rows.length} boundaries`;
    printLine(
      open.length === 0 ? `\nAll ${all} hold.` : `\n${open.length} of ${all} ${open.length === 1 ? "does" : "do"} not hold.`,
    );
  }
  if (open.length > 0) process.exitCode = missingCode;
}

async function diagnose(flags: DoctorFlags): Promise<void> {
  if (flags.isolation) return probe(flags);
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
    kernel.checkImageView(),
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
