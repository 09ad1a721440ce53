// ③ The logins that publishes carry, asked for once in a while: a helper is a program that takes its time, and a save does not wait for it.

import type { RegistryCredential } from "../proto/gen/hob/v1/common.ts";
import { registryCredentials } from "./registry-credentials.ts";

const freshMs = 5 * 60_000; // logins of cloud registries hold for hours

interface Logins {
  /** What was found lately; undefined where somebody has to look. */
  known(references: readonly string[]): RegistryCredential[] | undefined;
  /** Rejects with what registryCredentials says of a file or a helper that does not work. */
  find(references: readonly string[]): Promise<RegistryCredential[]>;
}

export function createLogins(): Logins {
  const found = new Map<string, { credentials: RegistryCredential[]; untilMs: number }>();

  function known(references: readonly string[]): RegistryCredential[] | undefined {
    const lately = references.map((reference) => found.get(reference));
    if (!lately.every((entry) => entry !== undefined && entry.untilMs > performance.now())) return undefined;
    const byRegistry = lately.flatMap((entry) => entry!.credentials).map((each) => [each.registry, each] as const);
    return [...new Map(byRegistry).values()];
  }

  return {
    known,
    async find(references) {
      for (const reference of references) {
        if (known([reference])) continue;
        const credentials = await registryCredentials([reference]);
        found.set(reference, { credentials, untilMs: performance.now() + freshMs });
      }
      return known(references) ?? [];
    },
  };
}
