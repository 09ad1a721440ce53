// ⑧ APP, APP/FUNCTION and FILE::FUNCTION as people write them.

import { HobError } from "../base/errors.ts";
import { baseOf, isDeployment, parseReference } from "../proto/app-name.ts";
import { suggestion } from "./suggest.ts";

export interface Target {
  app: string;
  function: string; // "" for all of the app
}

export function parseTarget(text: string | undefined): Target {
  if (text === undefined) return { app: "", function: "" };
  const [app = "", name = "", ...rest] = text.split("/");
  if (app === "" || rest.length > 0 || (name === "" && text.includes("/"))) {
    throw new HobError("usage", `"${text}" is no app and no function`, { remedy: "write APP or APP/FUNCTION" });
  }
  return { app, function: name };
}

/** FILE or FILE::FUNCTION; the function is "" where only a file is named. */
export function parseFileTarget(text: string): { file: string; function: string } {
  const at = text.lastIndexOf("::");
  if (at < 0) return { file: text, function: "" };
  const name = text.slice(at + 2);
  if (at > 0 && name !== "") return { file: text.slice(0, at), function: name };
  throw new HobError("usage", `"${text}" names no function of a file`, {
    remedy: "write FILE::FUNCTION, for example app.py::hello",
  });
}

/** A usage error for a name that is not among `names`: what is near, or what there is. */
export function unknownName(what: string, name: string, names: string[]): HobError {
  const remedy = suggestion(name, names);
  return new HobError("usage", `there is no ${what} "${name}"`, remedy ? { remedy } : {});
}

interface Named {
  app: string;
  function: string;
}

/** Refuses a target that control knows nothing of: neither a function nor a call of it. */
export function requireKnown(target: Target, known: Named[]): void {
  const apps = [...new Set(known.map(({ app }) => app))];
  const reference = parseReference(target.app);
  const live = reference?.kind === "live" ? apps.find((app) => isDeployment(app) && baseOf(app) === reference.app) : undefined;
  if (live) requireKnown({ ...target, app: live }, known);
  else requireNamed(target, known, apps);
}

function requireNamed(target: Target, known: Named[], apps: string[]): void {
  if (target.app !== "" && !apps.includes(target.app)) throw unknownName("app", target.app, apps);
  const ofApp = known.filter(({ app }) => target.app === "" || app === target.app);
  const functions = [...new Set(ofApp.map((row) => row.function))];
  if (target.function !== "" && !functions.includes(target.function)) {
    throw unknownName(target.app === "" ? "function" : `function in ${target.app} called`, target.function, functions);
  }
}
