// ③⑤ A URL with a token, as an argument or, where the list of processes should not show it, on stdin.

import { text } from "node:stream/consumers";
import { HobError } from "../base/errors.ts";

export async function urlGiven(argument: string): Promise<string> {
  const url = argument === "-" ? (await text(process.stdin)).trim() : argument;
  if (url !== "") return url;
  throw new HobError("usage", "there is no URL on stdin", { remedy: "pipe one line in: hob://TOKEN@HOST:PORT/PIN" });
}
