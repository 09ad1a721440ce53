// ⑥ The system calls behind a terminal: receiving its descriptor from runc, its size, and a file that lies in memory only.

import { chmodSync, closeSync, writeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { HobError } from "../../base/errors.ts";

const libc = koffi.load("libc.so.6");
const socketCall = libc.func("int socket(int domain, int type, int protocol)");
const bindCall = libc.func("int bind(int fd, const void *address, uint32_t size)");
const listenCall = libc.func("int listen(int fd, int backlog)");
const acceptCall = libc.func("int accept4(int fd, void *address, void *size, int flags)");
const recvmsgCall = libc.func("int64_t recvmsg(int fd, void *message, int flags)");
const memfdCall = libc.func("int memfd_create(const char *name, unsigned int flags)");
const ioctlCall = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
const fcntlCall = libc.func("int fcntl(int fd, int command, long value)");

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const TIOCSWINSZ = 0x5414;
const F_SETFL = 4;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const longestPath = 107; // sockaddr_un.sun_path, unix(7)

function checked(result: number, operation: string): number {
  if (result >= 0) return result;
  throw new HobError("unavailable", `${operation}: ${getSystemErrorName(-koffi.errno())}`);
}

export interface ConsoleSocket extends Disposable {
  /** The terminal's master, non-blocking. Only once runc has ended well: it has sent it by then. */
  receive(): number;
}

/** A socket at `path` to which runc sends the master of the terminal that it has made inside the container. */
export function listenForConsole(path: string): ConsoleSocket {
  if (Buffer.byteLength(path) > longestPath) {
    throw new HobError("precondition", `the path ${path} is too long for a socket`, {
      remedy: "set HOB_RUN_DIR to a shorter folder",
    });
  }
  const address = Buffer.alloc(2 + longestPath + 1); // struct sockaddr_un
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  const listener = checked(socketCall(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "opening a socket");
  try {
    checked(bindCall(listener, address, address.length), `binding ${path}`);
    chmodSync(path, 0o600);
    checked(listenCall(listener, 1), `listening on ${path}`);
  } catch (error) {
    closeSync(listener);
    throw error;
  }
  return {
    receive() {
      const connection = checked(acceptCall(listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK), "taking runc's connection");
      try {
        const master = receiveDescriptor(connection);
        checked(fcntlCall(master, F_SETFL, O_RDWR | O_NONBLOCK), "making a terminal non-blocking");
        return master;
      } finally {
        closeSync(connection);
      }
    },
    [Symbol.dispose]: () => closeSync(listener),
  };
}

/** One descriptor from an SCM_RIGHTS message (unix(7), cmsg(3)). Structures as on every 64-bit Linux. */
function receiveDescriptor(socket: number): number {
  const data = Buffer.alloc(4096); // runc sends the terminal's name along
  const control = Buffer.alloc(24); // CMSG_SPACE(sizeof(int)): length 8, level 4, type 4, descriptor 4, padding 4
  const vector = Buffer.alloc(16); // struct iovec
  vector.writeBigUInt64LE(koffi.address(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const message = Buffer.alloc(56); // struct msghdr
  message.writeBigUInt64LE(koffi.address(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(koffi.address(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  checked(Number(recvmsgCall(socket, message, MSG_CMSG_CLOEXEC)), "receiving a terminal from runc");
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) {
    throw new HobError("internal", "runc sent no terminal");
  }
  return control.readInt32LE(16);
}

/** The kernel tells the foreground processes (SIGWINCH). */
export function resizeTerminal(master: number, columns: number, rows: number): void {
  const size = Buffer.alloc(8); // struct winsize
  size.writeUInt16LE(Math.min(rows, 0xffff), 0);
  size.writeUInt16LE(Math.min(columns, 0xffff), 2);
  checked(ioctlCall(master, TIOCSWINSZ, size), "resizing a terminal");
}

/** A file without a name that is on no disk: for what nobody else should be able to read. The caller closes the descriptor. */
export function memoryFile(content: string): number {
  const fd = checked(memfdCall("hob", 0), "making a file in memory");
  writeSync(fd, content, 0);
  return fd;
}
