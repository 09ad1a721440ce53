// ③④⑥ How callers name an app and its deployments: "images", "images@live", "images@3". To all else a deployment is an app like any other, with containers of its own. Pure.

/** "images@3". Users' app names have no @. */
export const deploymentName = (app: string, number: number): string => `${app}@${number}`;

/** The app of which that is a deployment, or the name itself. */
export function baseOf(name: string): string {
  const at = name.indexOf("@");
  return at < 0 ? name : name.slice(0, at);
}

export const isDeployment = (name: string): boolean => name.includes("@");

/** What a caller names behind the @. */
export type Reference =
  | { kind: "plain"; app: string }
  | { kind: "live"; app: string }
  | { kind: "number"; app: string; number: number }
  | { kind: "digest"; app: string; digest: string };

/** Undefined for what is none of those. A number has at most 5 digits, and a digest at least 6. */
export function parseReference(text: string): Reference | undefined {
  const at = text.indexOf("@");
  if (at < 0) return { kind: "plain", app: text };
  const [app, word] = [text.slice(0, at), text.slice(at + 1)];
  if (word === "live") return { kind: "live", app };
  if (/^[1-9]\d{0,4}$/.test(word)) return { kind: "number", app, number: Number(word) };
  return /^[0-9a-f]{6,64}$/.test(word) ? { kind: "digest", app, digest: word } : undefined;
}
