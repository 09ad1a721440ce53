// ③ Clients of one pool that find no control take turns: one starts it, the others wait and look again.

import { connect, createServer, type Socket } from "node:net";
import { errnoOf, HobError, systemError } from "../base/errors.ts";

/**
 * The right to start control, as an abstract socket of the pool's name: the kernel gives it to one process and takes it back
 * when that one ends, however it ends. Undefined: another had it, and has just let go of it.
 */
export function takeTurn(key: string, timeoutMs: number): Promise<Disposable | undefined> {
  const name = `\0hob-start-${key}`;
  return new Promise((resolve, reject) => {
    const waiting = new Set<Socket>();
    const server = createServer((other) => {
      waiting.add(other);
      other.on("error", () => {}); // a waiting client that was killed
      other.on("close", () => waiting.delete(other));
    });
    const letGo = (): void => {
      server.close();
      for (const other of waiting) other.destroy();
    };
    server.once("listening", () => resolve({ [Symbol.dispose]: letGo }));
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE") untilLetGo(name, timeoutMs).then(() => resolve(undefined), reject);
      else reject(systemError("starting control", error));
    });
    server.listen(name);
  });
}

function untilLetGo(name: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const holder = connect(name);
    const timer = setTimeout(
      () => {
        reject(
          new HobError("unavailable", "another hob has been starting control for too long", { remedy: "end it, then try again" }),
        );
        holder.destroy();
      },
      Math.max(timeoutMs, 0),
    );
    holder.on("error", () => {}); // it has let go between our two steps: `close` follows
    holder.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    holder.resume();
  });
}
