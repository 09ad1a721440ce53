// ④ A send buffer that is never full, for each connection to control: without it a connection can lock itself up.
//
// Node's HTTP/2 stops reading a connection while a write to it waits for the kernel. When both ends wait, neither reads, and both wait
// for ever (until the keepalive drops the connection). HTTP/2's own window keeps that from happening on TCP, but on a unix socket each
// small message is charged some 800 bytes: a few hundred unread messages in both directions fill the standard buffer long before the
// window of 64 KiB is used up. One end whose writes always find room is enough to break the circle: control's.

import type { Socket } from "node:net";
import koffi from "koffi";
import type { Log } from "../base/log.ts";

// Linux, asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32; // beyond net.core.wmem_max; needs CAP_NET_ADMIN

// A window of 64 KiB in messages of 40 bytes (the smallest with their frames), each charged 1 KiB, twice over. Used only when needed.
const sendBufferBytes = 4 << 20;

const libc = koffi.load(null);
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const int *value, uint32_t length)");

export function widenSendBuffer(socket: Socket, log: Log): void {
  // Node has no name for a connection's descriptor; the handle has had it since the first versions.
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } };
  const fd = handle?.fd;
  if (fd === undefined || fd < 0) return; // closed already
  for (const option of [SO_SNDBUFFORCE, SO_SNDBUF]) {
    if (setsockopt(fd, SOL_SOCKET, option, [sendBufferBytes], 4) === 0) return;
  }
  log.warn({ errno: koffi.errno() }, "a connection keeps its standard send buffer");
}
