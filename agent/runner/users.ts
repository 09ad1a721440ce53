// ⑤ Who "app", "1000" or "app:staff" is, by an image's own passwd(5) and group(5). Pure.

import { HobError } from "../../base/errors.ts";
import { type ContainerUser, rootUser } from "../container/spec.ts";

const greatestId = 65_534; // of the range that a container has

/** HobError `precondition` where the image does not know the name. */
export function userOf(user: string, passwd: string, group: string): ContainerUser {
  if (user === "" || user === "root" || user === "0") return rootUser;
  const [who = "", which] = user.split(":");
  const rows = (text: string): string[][] => text.split("\n").map((line) => line.split(":"));
  const number = (text: string, what: string): number => {
    if (/^\d+$/.test(text) && Number(text) <= greatestId) return Number(text);
    throw new HobError("precondition", `the image has no ${what} "${text}"`, {
      remedy: `make it in a step before, for instance with .run("useradd --system ${who}")`,
    });
  };
  const known = rows(passwd).find(([name, , uid]) => name === who || uid === who);
  const uid = number(known?.[2] ?? who, "user");
  const named = which === undefined ? undefined : rows(group).find(([name]) => name === which);
  const gid = which === undefined ? Number(known?.[3] ?? 0) : number(named?.[2] ?? which, "group");
  const members = rows(group).filter(([, , , list = ""]) => known?.[0] !== undefined && list.split(",").includes(known[0]));
  const additionalGids = which === undefined ? members.map(([, , id]) => Number(id)).filter((id) => id !== gid) : [];
  return { uid, gid, additionalGids };
}
