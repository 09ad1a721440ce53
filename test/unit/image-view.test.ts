// ⑤ Which view of images a node uses, and what `hob doctor` says of it.

import { describe, expect, it } from "vitest";
import { chooseView } from "../../fusefs/erofs/choice.ts";

const obstacle = "the kernel is older than 6.12, or built without EROFS from files";

describe("a node's view of images", () => {
  it("is the tiered one where the machine can, and else the tree, for that reason", () => {
    expect(chooseView("", "").kind).toBe("tiered");
    expect(chooseView(undefined, obstacle)).toEqual({ kind: "tree", reason: obstacle });
  });

  it("is the one that HOB_IMAGE_VIEW asks for, or an error where the machine lacks it or there is no such view", () => {
    const reason = "HOB_IMAGE_VIEW asks for it";
    expect(chooseView("tree", "")).toEqual({ kind: "tree", reason });
    expect(chooseView("tiered", "")).toEqual({ kind: "tiered", reason });
    expect(() => chooseView("tiered", obstacle)).toThrow(obstacle);
    expect(() => chooseView("flat", "")).toThrow('HOB_IMAGE_VIEW is "flat"');
  });
});
