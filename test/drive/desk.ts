// A desk for journeys on the screen: a project in both languages, a pool of its own, `hob dev` in a real terminal on it, and what is left behind.

import { join } from "node:path";
import { expect } from "vitest";
import { installRoot } from "../../base/install.ts";
import { hob } from "../cli/run-hob.ts";
import { openScreen, type Screen } from "./screen.ts";
import { makeWorkplace, type Workplace } from "./workplace.ts";

export const python = (greeting: string): string => `import time
import hob

app = hob.App("desk")


@app.function()
def greet(name: str = "world") -> str:
    """Says hello."""
    print("greeting", name)
    return "${greeting} " + name


@app.function()
def shape(values: list, width: int = 2) -> list:
    total = sum(values)
    if total > 100:
        raise ValueError("bad shape")
    return [value * width for value in values]


@app.function()
def slow(seconds: float = 60) -> str:
    print("sleeping")
    time.sleep(seconds)
    return "late"


@app.function()
def chatty(lines: int = 120) -> int:
    for number in range(lines):
        print(f"warning: number {number}" if number % 50 == 0 else f"number {number} " + "and so on " * (number % 20))
    return lines
`;

const typescript = `import { App } from "hob";

const app = new App("desk");

/** Twice as much. */
export const double = app.function({}, async (n = 21) => {
  console.log("doubling", n);
  return n * 2;
});
`;

export const keys = { esc: "\x1b", enter: "\r", tab: "\t", up: "\x1b[A", clear: "\x15\x0b", interrupt: "\x03" } as const;

export interface Desk extends Screen {
  place: Workplace;
  /** Presses, then waits until all of `parts` are on the screen and nothing of `gone` is. */
  does(pressed: string, parts: string[], gone?: string[]): Promise<string>;
  /** q, and that the terminal is as it was. */
  leave(): Promise<void>;
}

export function makeDesk(files: Record<string, string> = { "app.py": python("hello"), "thumb.ts": typescript }): Workplace {
  const place = makeWorkplace(files);
  place.environment["HOB_LINGER_MS"] = "30000";
  return place;
}

export function sitDown(place: Workplace, environment: Record<string, string> = {}): Desk {
  const screen = openScreen(join(installRoot, "bin/hob"), ["dev", place.project], {
    ...{ columns: 140, rows: 40, environment: { ...place.environment, TZ: "UTC", ...environment } },
  });
  return {
    ...screen,
    place,
    does(pressed, parts, gone = []) {
      screen.press(pressed);
      const what = `${JSON.stringify(pressed)}: ${parts.join(", ")}${gone.length > 0 ? `; without ${gone.join(", ")}` : ""}`;
      const holds = (text: string): boolean =>
        parts.every((part) => text.includes(part)) && !gone.some((part) => text.includes(part));
      return screen.waitFor(what, holds, 20_000);
    },
    async leave() {
      screen.press("q");
      expect((await screen.ended).exitCode).toBe(0);
      expect(screen.alternate()).toBe(false);
      expect(screen.modes()).toEqual({ cursor: true, focusReports: false });
      expect(screen.text()).not.toContain("1 Functions");
    },
  };
}

/** Ends the pool and takes all of it away. */
export async function clearDesk(place: Workplace): Promise<void> {
  await hob({ folder: place.project, environment: place.environment, [Symbol.dispose]() {} }, ["pool", "stop", "--force"]);
  place[Symbol.dispose]();
}
