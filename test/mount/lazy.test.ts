// ⑤ An image that has not arrived, on a real mount: what a read lacks comes through the fetch room, and what was read is known in order.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodeTrace } from "../../agent/fetch/trace.ts";
import { bytesOf, makeImage, openTestNode, serveContents } from "../fetch/places.ts";
import { modes, probe, startMounted } from "./mounted.ts";

const files = {
  "usr/bin/program": bytesOf("program", 300_000),
  "usr/lib/gone.so": bytesOf("gone", 5000),
  "usr/lib/model.bin": bytesOf("model", 3 << 20),
  "etc/one": bytesOf("one", 100),
  "etc/two": bytesOf("two", 100),
};

describe.skipIf(!probe.fuse).each(modes)("a lazy image on a mount (%o)", (mode) => {
  it("shows what arrives while it is read, says what could not be fetched, and leaves a trace of its start", async () => {
    const made = makeImage(files);
    const gone = made.digestOf("usr/lib/gone.so");
    await using mounted = await startMounted({ ...mode, fetch: (digest, chunk) => node.room.images.fetch(digest, chunk) });
    using control = await serveContents(join(mounted.folder, "c"), made.blobs);
    const honestly = control.answer;
    control.answer = (want, name) => (want.digest === gone ? { lacking: "it is gone" } : honestly(want, name));
    const image = join(mounted.folder, "root.image");
    await using node = await openTestNode(mounted.folder, "a", control, {
      store: mounted.store,
      seen: () => mounted.server.reads(image),
      readsPastUs: () => mode.view === "tiered",
    });
    await node.room.images.begin(made.image);
    const root = await mounted.show(made.image, "root");
    const show = async (path: keyof typeof files) => expect((await readFile(join(root, path))).equals(files[path])).toBe(true);
    await show("etc/two");
    await show("usr/bin/program");
    await show("etc/one"); // it came along with its neighbour, and counts all the same
    await show("usr/lib/model.bin");
    await expect(readFile(join(root, "usr/lib/gone.so"))).rejects.toThrow("EIO");
    expect(node.troubles).toEqual([expect.stringContaining("file /usr/lib/gone.so: blob ")]);
    await show("etc/two");
    await node.room.images.answered(made.image);
    await expect.poll(() => node.traces.length).toBe(1);
    const { contentsOf } = node.room.images;
    const contents = contentsOf(made.image)!;
    const reads = decodeTrace(node.traces[0]!, made.image);
    const told = reads.map(({ index, chunk }) => `${contents.path(index)}${chunk === undefined ? "" : ` ${chunk}`}`);
    const chunks = Array.from(
      { length: contents.pieces(contents.indexOf(made.digestOf("usr/lib/model.bin"))).chunks },
      (_, chunk) => chunk,
    ).map((chunk) => `/usr/lib/model.bin ${chunk}`);
    expect(told).toEqual(["/etc/two", "/usr/bin/program", "/etc/one", ...chunks, "/usr/lib/gone.so"]);
    expect(await mounted.server.reads(image)).toHaveLength(told.length);
  });
});
