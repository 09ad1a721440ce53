// ④ In which container a shell begins. Pure.

import { HobError } from "../base/errors.ts";
import type { Version } from "../proto/gen/hob/v1/common.ts";
import type { ContainerView, GroupView, NodeView } from "./scheduler/decide.ts";

export interface ShellWish {
  app: string;
  version: Version | undefined;
  group: Pick<GroupView, "imageKey" | "classKey"> | undefined;
  /** Id of a running container; "" for one of its own. */
  container: string;
}

type View = ContainerView & { readonly app: string; readonly shell: string };

/** A container, or why there is none yet. Throws where there never will be one. */
export function chooseContainer(
  wish: ShellWish,
  nodes: readonly Pick<NodeView, "name" | "images">[],
  containers: readonly View[],
): { container: View | undefined; reason: string } {
  return wish.container === "" ? ownContainer(wish, nodes, containers) : runningContainer(wish, containers);
}

function runningContainer(wish: ShellWish, containers: readonly View[]): { container: View; reason: string } {
  const found = containers.find(({ id }) => id === wish.container);
  if (!found || found.state === "stopping") {
    throw new HobError("notFound", `no container ${wish.container} is running`, { remedy: "hob pool shows the containers" });
  }
  if (found.app === "") {
    throw new HobError("precondition", `container ${found.id} is generic: it belongs to no app yet`, {
      remedy: "leave --container out, and the shell gets one of its own",
    });
  }
  if (wish.app !== "" && wish.app !== found.app) {
    throw new HobError("usage", `container ${found.id} belongs to app ${found.app}, not to ${wish.app}`);
  }
  return { container: found, reason: "" };
}

function ownContainer(
  { app, group }: ShellWish,
  nodes: readonly Pick<NodeView, "name" | "images">[],
  containers: readonly View[],
): { container: View | undefined; reason: string } {
  if (!group)
    throw new HobError("usage", "a shell needs an app or a container", { remedy: "name FILE, FILE::FUNCTION or APP/FUNCTION" });
  if (nodes.length === 0) return { container: undefined, reason: "no node is connected" };
  const able = nodes.filter(({ images }) => images.has(group.imageKey));
  if (able.length === 0) return { container: undefined, reason: "no node has made its image yet" };
  let most: View[] = []; // of the node with most to give
  for (const { name, images } of able) {
    const here = containers.filter(
      (view) =>
        view.node === name &&
        view.state === "warm" &&
        view.group === "" &&
        view.inFlight === 0 &&
        view.classKey === group.classKey &&
        view.image === images.get(group.imageKey),
    );
    if (here.length > most.length) most = here;
  }
  return { container: most[0], reason: `a container for ${app} is being started` };
}
