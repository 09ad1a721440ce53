// A row of the tables of edits of Python: what is there, what a save changes, the tier that it takes, and what a call returns before and after.

export interface EditRow {
  name: string;
  /** app.py below its first lines, which bind `hob`, `time`, `app` and TOKEN: another one in each process that imports it. */
  app: string;
  files?: Record<string, string>;
  /** [file, what, by what] */
  edits: [file: string, from: string | RegExp, to: string][];
  /** "nothing": nothing has to be reloaded. With "patch" TOKEN stays, else it is another one ("nothing": stays). */
  tier: "patch" | "fork" | "container" | "nothing";
  reason: RegExp;
  /** "f" unless said otherwise. It returns [value, TOKEN]. */
  call?: string;
  was: unknown;
  now: unknown;
}

export const head = (app: string): string => `import time\nimport hob\n\napp = hob.App("${app}")\nTOKEN = time.time_ns()\n\n`;

export const f = (body: string, rest = "", options = ""): string =>
  `${rest}\n@app.function(${options})\ndef f(x=2):\n${body.replace(/^/gm, "    ")}\n`;

export const slow = "time.sleep(0.6)\n";
