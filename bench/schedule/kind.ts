// ④ The one kind of container that the crowd of agents has.

import { sha256 } from "../../base/content-folder.ts";

export const benchApp = "shop";
export const image = sha256("the image of a machine that is none");
export const resourceClass = { cpu: 0, memoryBytes: 512 * 2 ** 20, language: "python", gpu: "", network: "internet" };
