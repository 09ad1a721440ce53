// ⑧ Opens the workbench's screen and keeps it until it is left: events in, keys in, frames out, the terminal restored.

import { setFlagsFromString } from "node:v8";
import type { Instance } from "ink";
import { systemClock } from "../base/clock.ts";
import { exitCode, HobError, sentenceOf } from "../base/errors.ts";
import type { Workbench } from "../project/events.ts";
import { type Config, defaultConfig } from "./config.ts";
import { titleOf } from "./model/attention.ts";
import type { ReplayState } from "./model/replay.ts";
import { initialState, type State } from "./model/state.ts";
import type { Player } from "./recording/player.ts";
import { createRecorder } from "./recording/recorder.ts";
import { drawScreen, type Picture } from "./screen/frame.ts";
import { choosePalette } from "./screen/palette.ts";
import type { LendTerminal, ScreenProps, Speak } from "./screen/screen.tsx";
import type { Widgets } from "./screen/section.ts";
import { createStore, type Store } from "./store.ts";
import { beginAttention, endAttention, hearingFocus, titleSequence } from "./terminal/attention.ts";
import { canShowScreen } from "./terminal/capable.ts";
import { watchConfig } from "./terminal/config-file.ts";
import { perform } from "./terminal/effects.ts";
import { crashed, type Ending, guardTerminal, restoreTerminal } from "./terminal/guard.ts";
import { keepInputs, readInputs } from "./terminal/inputs.ts";
import { createPainter, enterScreen, modesOnly } from "./terminal/painter.ts";
import { isTourOver } from "./terminal/tour.ts";

export interface ScreenOptions {
  pool: string;
  build: string;
  /** Runs a shell of that function on this terminal, which is its own meanwhile. */
  shell(app: string, functionName: string): Promise<{ code: number; sentence: string | undefined }>;
  /** The person's settings; the usual ones without. */
  config?: Config;
  /** A file that the session is recorded to. */
  record?: string;
  /** Gives the events and the time of a recorded session. */
  player?: Player;
}

/**
 * Runs until the person quits, the workbench ends or a signal comes; returns the exit code. Throws where there is no terminal.
 * `open` is called once the first frame is there: what a workbench is made of takes longer to load than the screen.
 */
export async function startScreen(open: () => Promise<Workbench>, options: ScreenOptions): Promise<number> {
  const { stdin, stdout } = process;
  if (!canShowScreen(process)) {
    throw new HobError("usage", "the screen needs a terminal that can place text", {
      remedy: "hob dev --plain prints lines, --json prints objects",
    });
  }
  // Frames are garbage at once. V8 takes that for a reason to grow its space for young objects, and never gives it back: over an hour's
  // worth of events the process grew from 190 to 254 MB while 24 were in use.
  setFlagsFromString("--semi-space-growth-factor=1");
  // What lives on (log lines, calls) is 20 MB, of which as much goes as comes. On a busy machine V8 lets the heap become two to three times
  // that before it looks, each time more: 143 MB at the end of such an hour, 13 % more than in its middle. So it stays at 110.
  setFlagsFromString("--heap-growing-percent=30");
  const ended = Promise.withResolvers<Ending>();
  using _guard = guardTerminal(ended.resolve);

  let workbench: Workbench | undefined;
  const { player } = options;
  const nowMs = player ? player.nowMs : systemClock.now;
  const { columns, rows } = stdout;
  const header = { startedAtMs: nowMs(), pool: options.pool, build: options.build, columns, rows };
  using recorder = options.record === undefined ? undefined : createRecorder(options.record, header, nowMs);

  let palette = choosePalette(process.env, defaultConfig);
  let widgets: Widgets | undefined;
  let loading = false;

  const picture = (state: State): Picture => drawScreen(state, { palette, widgets, nowMs: nowMs() });

  function paint(state: State): Picture["viewports"] {
    try {
      palette = choosePalette(process.env, state.config);
      if ((state.view === "fleet" || state.view === "images") && !loading) loadWidgets();
      const { rows, viewports } = picture(state);
      if (aloud) tellReader({ ...state, viewports });
      else show(rows);
      entitle(state);
      return viewports;
    } catch (error) {
      ended.resolve(crashed(error));
      return state.viewports;
    }
  }

  const aloud = process.env["INK_SCREEN_READER"] === "true";
  const painter = createPainter((text) => stdout.write(text));
  let lent = false; // to a shell
  function show(rows: readonly string[]): void {
    if (!lent) painter.paint(rows);
  }

  let told: State | undefined; // to a screen reader
  let reader: { speak: Speak; prompt(text: string): void } | undefined;
  const words = aloud ? await import("./screen/spoken.ts") : undefined;
  function tellReader(state: State): void {
    if (!reader || !words || lent) return; // nothing is lost: the next time tells it
    const lines = words.spoken(told ?? initial, state, nowMs());
    told = state;
    if (lines.length > 0) reader.speak(lines);
    reader.prompt(words.promptOf(state));
  }

  let title = "";
  function entitle(state: State): void {
    const wanted = titleOf(state);
    if (aloud || lent || wanted === title) return;
    title = wanted;
    stdout.write(titleSequence(title));
  }

  function loadWidgets(): void {
    loading = true;
    import("./charts/contrib.ts").then(
      (loaded) => {
        widgets = loaded.createWidgets();
        store.repaint();
      },
      (error: unknown) => ended.resolve(crashed(error)),
    );
  }

  const initial = initialState({ pool: options.pool, build: options.build, columns, rows, nowMs: nowMs() });
  using store: Store = createStore({
    initial,
    paint,
    perform: (effect) =>
      perform(effect, {
        workbench: () => workbench ?? notYet(),
        nowMs,
        dispatch: (event) => store.dispatch(event),
        writeTerminal: (text) => stdout.write(text),
        lend: (work) => void lendFor(work),
        shell: (app, name) => void lendFor(() => openShell(app, name)),
        keepInputs: player ? () => {} : keepInputs,
        replay: (change) => player?.change(change),
        quit: () => ended.resolve({ code: 0, sentence: undefined }),
      }),
    ...(recorder ? { record: recorder.record } : {}),
    nowMs,
  });
  const onKey = (key: string): void => store.dispatch({ kind: "key", key, nowMs: nowMs() });
  const onFocus = (focused: boolean): void => store.dispatch({ kind: "focus", focused });
  const onPaste = (text: string): void => store.dispatch({ kind: "paste", text });

  let lend: LendTerminal | undefined;
  const onLend = (given: LendTerminal): void => {
    lend = given;
  };

  /** Gives the terminal away; what went wrong meanwhile is told when it is back. */
  async function lendFor(work: () => Promise<void>): Promise<void> {
    lent = true;
    if (!aloud) stdout.write(endAttention);
    try {
      await lend?.(work);
    } catch (error) {
      tell("error", sentenceOf(error));
    }
    lent = false;
    title = "";
    if (!aloud) stdout.write(beginAttention);
    painter.forget();
    store.repaint();
  }
  const tell = (level: "info" | "error", text: string): void => store.offer({ kind: "notice", level, text, timeMs: nowMs() });

  async function openShell(app: string, name: string): Promise<void> {
    stdout.write(`hob: a shell for ${app}/${name}; its end, or ~. at the start of a line, brings the workbench back\r\n`);
    const { code, sentence } = await options.shell(app, name);
    tell(sentence === undefined ? "info" : "error", sentence ?? `the shell has ended, exit code ${code}`);
  }

  const onResize = (): void => {
    store.dispatch({ kind: "resize", columns: stdout.columns, rows: stdout.rows });
    painter.forget();
    store.repaint();
  };
  const onLost = (error: Error): void => ended.resolve({ code: 129, sentence: `the terminal is gone: ${error.message}` });
  stdout.on("error", onLost);

  // The frame comes before what reads the keys, which takes as long again to load; what is typed meanwhile waits in the terminal.
  const first = picture(store.state);
  if (!aloud) {
    enterScreen(stdin, stdout);
    stdout.write(beginAttention);
    show(first.rows);
  }
  const terminal = aloud ? { stdin, stdout } : { stdin: hearingFocus(stdin, onFocus), stdout: modesOnly(stdout) };
  const onSpeak = (speak: Speak): void => {
    // Ink runs effects before mount() returns.
    if (aloud) reader = { speak, prompt: (text) => ink?.tell(text) };
  };
  let ink: Awaited<ReturnType<typeof mountInk>> | undefined;
  ink = await mountInk({ prompt: words?.promptOf(store.state) ?? "", onSpeak, onKey, onPaste, onLend }, { ...terminal, aloud });
  const { instance } = ink;
  if (aloud) tellReader(store.state);
  stdout.on("resize", onResize);
  instance.waitUntilExit().then(
    () => ended.resolve({ code: 0, sentence: undefined }),
    (error: unknown) => ended.resolve(crashed(error)),
  );
  if (player) {
    const changed = (replay: ReplayState): void => store.dispatch({ kind: "replay", replay });
    player
      .play(store.replay, changed)
      .catch((error: unknown) => ended.resolve({ code: exitCode(error), sentence: sentenceOf(error) }));
  }
  using _watching = player ? undefined : watchSettings(store, options.config ?? defaultConfig, nowMs);
  if (!player) store.dispatch({ kind: "inputs", inputs: readInputs() });
  if (!player && !isTourOver()) store.dispatch({ kind: "tour" });
  void follow(
    async () => {
      workbench = await open();
      return workbench.events;
    },
    store,
    ended.resolve,
  );

  const { code, sentence } = await ended.promise;
  stdout.off("resize", onResize);
  if (!aloud) stdout.write(endAttention);
  await leave(instance);
  stdout.off("error", onLost);
  if (sentence !== undefined) process.stderr.write(`${sentence}\n`);
  return code;
}

type InkTerminal = { stdin: NodeJS.ReadStream; stdout: NodeJS.WriteStream; aloud: boolean };

async function mountInk(props: ScreenProps, terminal: InkTerminal) {
  const { mount } = await import("./screen/screen.tsx");
  return mount(props, terminal);
}

function watchSettings(store: Store, config: Config, nowMs: () => number): Disposable {
  store.dispatch({ kind: "config", config });
  return watchConfig(
    (changed) => {
      store.dispatch({ kind: "config", config: changed });
      store.offer({ kind: "notice", level: "info", text: "the settings have changed", timeMs: nowMs() });
      store.repaint();
    },
    (error) => store.offer({ kind: "notice", level: "error", text: `${sentenceOf(error)}; those before stay`, timeMs: nowMs() }),
  );
}

const notYet = (): never => {
  throw new HobError("unavailable", "the project is still being opened", { remedy: "try again in a moment" });
};

type Events = Workbench["events"];

/** The workbench's events, until they end; how they ended is how the screen ends. */
async function follow(open: () => Promise<Events>, store: Store, onEnd: (ending: Ending) => void): Promise<void> {
  try {
    for await (const event of await open()) store.offer(event);
    onEnd({ code: 0, sentence: "the workbench has ended" });
  } catch (error) {
    onEnd({ code: exitCode(error), sentence: sentenceOf(error) });
  }
}

async function leave(instance: Instance): Promise<void> {
  try {
    instance.unmount();
    await instance.waitUntilExit();
  } catch {
    // What Ink died of has been told already; that the terminal is whole is what matters now.
    restoreTerminal();
  }
}
