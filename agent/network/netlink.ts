// ⑤ The few rtnetlink(7) messages that a container's link takes. Each call sends one and waits for the kernel's answer.

import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { HobError } from "../../base/errors.ts";

const libc = koffi.load("libc.so.6");
const socketCall = libc.func("int socket(int domain, int type, int protocol)");
const sendCall = libc.func("int64_t send(int fd, const void *data, size_t length, int flags)");
const receiveCall = libc.func("int64_t recv(int fd, _Out_ uint8_t *data, size_t length, int flags)");
const closeCall = libc.func("int close(int fd)");
const indexCall = libc.func("unsigned int if_nametoindex(const char *name)");

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const REQUEST_ACK = 1 | 4; // NLM_F_REQUEST | NLM_F_ACK
const CREATE_NEW = 0x400 | 0x200; // NLM_F_CREATE | NLM_F_EXCL
const NLMSG_ERROR = 2;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_NET_NS_FD = 28;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const address = (value: string): Buffer => Buffer.from(value.split(".").map(Number));

function attribute(type: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const length = 4 + body.length;
  const bytes = Buffer.alloc((length + 3) & ~3); // each begins at a multiple of four
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  body.copy(bytes, 4);
  return bytes;
}

/** struct ifinfomsg: family, pad, type, index, flags, change. */
function linkHead(flags: number): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(flags, 8);
  head.writeUInt32LE(flags, 12);
  return head;
}

/** Sends in the network namespace that this thread is in. */
function request(operation: string, type: number, flags: number, ...content: Buffer[]): void {
  const body = Buffer.concat(content);
  const message = Buffer.alloc(16 + body.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(REQUEST_ACK | flags, 6);
  message.writeUInt32LE(1, 8);
  body.copy(message, 16);
  const socket = socketCall(AF_NETLINK, SOCK_RAW_CLOEXEC, 0) as number;
  try {
    const answer = Buffer.alloc(8192);
    const sent = socket >= 0 && Number(sendCall(socket, message, message.length, 0)) === message.length;
    if (!sent || Number(receiveCall(socket, answer, answer.length, 0)) < 20) {
      throw new HobError("unavailable", `${operation}: ${getSystemErrorName(-koffi.errno())}`);
    }
    const code = answer.readUInt16LE(4) === NLMSG_ERROR ? answer.readInt32LE(16) : 0;
    if (code !== 0) throw new HobError("unavailable", `${operation}: ${getSystemErrorName(code)}`);
  } finally {
    if (socket >= 0) closeCall(socket);
  }
}

function indexOf(name: string): number {
  const index = indexCall(name) as number;
  if (index === 0) throw new HobError("unavailable", `there is no network interface ${name}`);
  return index;
}

/** A veth pair: `name` here and up, `peer` in the namespace of that descriptor, to be brought up there. */
export function makePair(name: string, peer: string, networkFd: number, mtu: number): void {
  const up = linkHead(IFF_UP);
  const far = attribute(
    VETH_INFO_PEER,
    ...[
      linkHead(0),
      attribute(IFLA_IFNAME, text(peer)),
      attribute(IFLA_MTU, u32(mtu)),
      attribute(IFLA_NET_NS_FD, u32(networkFd)),
    ],
  );
  const kind = attribute(IFLA_INFO_KIND, Buffer.from("veth"));
  request(
    `making the link ${name}`,
    RTM_NEWLINK,
    CREATE_NEW,
    ...[up, attribute(IFLA_IFNAME, text(name)), attribute(IFLA_MTU, u32(mtu))],
    attribute(IFLA_LINKINFO, kind, attribute(IFLA_INFO_DATA, far)),
  );
}

export function removeLink(name: string): void {
  request(`removing the link ${name}`, RTM_DELLINK, 0, linkHead(0), attribute(IFLA_IFNAME, text(name)));
}

/** Gives an interface an address; with `peer` that is what lies at the other end, and the only route of it. */
export function addAddress(name: string, own: string, peer: string = own): void {
  const head = Buffer.alloc(8); // struct ifaddrmsg: family, prefix length, flags, scope, index
  head.writeUInt8(AF_INET, 0);
  head.writeUInt8(32, 1);
  head.writeUInt32LE(indexOf(name), 4);
  const local = attribute(IFA_LOCAL, address(own));
  request(`giving ${name} the address ${own}`, RTM_NEWADDR, CREATE_NEW, head, local, attribute(IFA_ADDRESS, address(peer)));
}

/** A route by that interface: to `destination` itself, or with `gateway` to everything. */
export function addRoute(name: string, to: { destination: string } | { gateway: string }): void {
  const direct = "destination" in to;
  const head = Buffer.alloc(12); // struct rtmsg: family, destination and source lengths, tos, table, protocol, scope, type, flags
  head.set([
    AF_INET,
    direct ? 32 : 0,
    0,
    0,
    RT_TABLE_MAIN,
    RTPROT_STATIC,
    direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    RTN_UNICAST,
  ]);
  const target = direct ? attribute(RTA_DST, address(to.destination)) : attribute(RTA_GATEWAY, address(to.gateway));
  request(`adding a route by ${name}`, RTM_NEWROUTE, CREATE_NEW, head, target, attribute(RTA_OIF, u32(indexOf(name))));
}
