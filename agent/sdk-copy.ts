// ⑤ Puts the SDK and the runners where containers can read them, whatever the permissions of the installation are.

import { chmodSync, cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemError } from "../base/errors.ts";

export function copySdk(from: string, to: string): void {
  try {
    cpSync(from, to, { recursive: true, dereference: true, filter: (path) => !path.endsWith("__pycache__") });
    chmodSync(to, 0o755);
    for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
    }
  } catch (error) {
    throw systemError(`copying the SDK to ${to}`, error, "install hob again if files of it are missing");
  }
}
