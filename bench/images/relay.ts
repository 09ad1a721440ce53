// One end of the bench's link: takes connections at one address and passes their bytes on to another, each piece so many ms later.
// `node bench/images/relay.ts FROM TO DELAY_MS`; an address is a path (a unix socket) or HOST:PORT.

import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";

/** What may be on its way in one direction of one connection: many times what the link holds. */
const mostOnTheWay = 8 << 20;

const [from = "", to = "", delay = "0"] = process.argv.slice(2);
const delayMs = Number(delay);

function addressOf(text: string): NetConnectOpts & { host?: string } {
  if (text.includes("/")) return { path: text };
  const [host = "", port = ""] = text.split(":");
  return { host, port: Number(port) };
}

function pass(source: Socket, target: Socket): void {
  let onTheWay = 0;
  source.on("data", (data: Buffer) => {
    onTheWay += data.length;
    if (onTheWay > mostOnTheWay) source.pause();
    const arrive = (): void => {
      target.write(data, () => {
        onTheWay -= data.length;
        if (onTheWay <= mostOnTheWay) source.resume();
      });
    };
    if (delayMs > 0) setTimeout(arrive, delayMs);
    else arrive();
  });
  source.on("end", () => setTimeout(() => target.end(), delayMs));
  source.on("error", () => target.destroy());
  source.on("close", (failed) => failed && target.destroy());
}

createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ ...addressOf(to), allowHalfOpen: true });
  for (const socket of [near, far]) socket.setNoDelay(true);
  pass(near, far);
  pass(far, near);
}).listen(addressOf(from), () => process.stdout.write("ready\n"));
process.on("SIGTERM", () => process.exit(0));
process.stdin.on("end", () => process.exit(0)).resume();
