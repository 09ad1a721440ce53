// ② An image of a project's file by its name: described as if a function had it, whether or not one has.

import { posix } from "node:path";
import { HobError } from "../base/errors.ts";
import type { ImageRef } from "../proto/gen/hob/v1/common.ts";
import { hostImageRef } from "../proto/image.ts";
import { createDescriber } from "./describe/describe.ts";
import { watchProject } from "./watch.ts";

export interface NamedImage {
  image: ImageRef;
  /** The content of a file that it copies; undefined when it is not there any more. */
  content(digest: string): Iterable<Buffer> | undefined;
}

const probeApp = "hob-image";

/** What stands behind the file's own text: a function whose image it is. */
const probes: readonly { extensions: RegExp; text(name: string): string }[] = [
  {
    extensions: /\.py$/,
    text: (name) =>
      `\nimport hob as __hob\n__hob_app = __hob.App("${probeApp}")\n\n\n@__hob_app.function(name="image", image=${name})\ndef __hob_image():\n    pass\n`,
  },
  {
    extensions: /\.[cm]?[jt]sx?$/,
    text: (name) =>
      `\nimport { App as __HobApp } from "hob";\nconst __hobApp = new __HobApp("${probeApp}");\nexport const __hobImage = __hobApp.function({ name: "image", image: ${name} }, async () => 0);\n`,
  },
];

/** `name` is that of an image at the top of the file, or of a function that the file declares. HobError `usage` or `function` says what is wrong. */
export async function withNamedImage<T>(
  root: string,
  path: string,
  name: string,
  use: (named: NamedImage) => Promise<T>,
): Promise<T> {
  const probe = probes.find(({ extensions }) => extensions.test(path));
  if (!probe)
    throw new HobError("usage", `${path} is neither Python nor TypeScript`, { remedy: "name a source file: app.py::image" });
  const silent = () => {};
  const listener = { stirred: silent, changed: silent, gone: silent, back: silent, notice: silent };
  await using watcher = watchProject(root, listener);
  const read = (file: string) => watcher.read(file)?.content;
  await using describer = createDescriber({ root, read });
  const { snapshot, changed } = watcher.initial;
  const content = (digest: string) => {
    const file = [...snapshot.files.values()].find((entry) => entry.digest === digest);
    return file && watcher.pieces(file.path);
  };
  const plain = await describer.describe(watcher.initial);
  const declared = [...plain.functions.values()].find(
    ({ spec }) => spec.module === path && [spec.name, spec.qualname].includes(name),
  );
  if (declared) return use({ image: declared.spec.image ?? hostImageRef, content });
  if (!/^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$/.test(name)) throw new HobError("usage", `"${name}" is no name of an image`);
  const own = changed.find(({ entry }) => entry.path === path);
  const text = own?.content ?? read(path);
  if (!own || !text) throw new HobError("usage", `${path} does not belong to the project ${root}: ignore rules leave it out`);
  const probed = { ...own, content: Buffer.concat([text, Buffer.from(probe.text(name))]) };
  const description = await describer.describe({ ...watcher.initial, changed: [probed] });
  const found = [...description.functions.values()].find(({ spec }) => spec.app === probeApp);
  if (found && !found.held) return use({ image: found.spec.image ?? hostImageRef, content });
  const fault = description.diagnostics.find(({ file }) => file === path);
  const lines = text.toString("utf8").split("\n").length;
  if (fault && fault.line > 0 && fault.line < lines) {
    throw new HobError(
      "function",
      `${fault.file}:${fault.line}:${fault.column}: ${fault.message}\n    ${fault.sourceLine.trim()}`,
    );
  }
  const reason = fault?.message.replace(/^.*could not be evaluated: /, "");
  throw new HobError("usage", `${posix.basename(path)} has no image "${name}"${reason ? `: ${reason}` : ""}`, {
    remedy: `write for example \`${name.split(".")[0]} = hob.Image.debian()\` at the top of the file`,
  });
}
