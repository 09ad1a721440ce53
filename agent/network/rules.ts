// ⑤ The one nftables table of a pool: what may leave a container, and what may come back. Pure.

import { linkPrefix, type Region } from "./addresses.ts";

export const tablePrefix = "hob_";
export const tableName = (key: string): string => `${tablePrefix}${key}`;
export const keyOfTable = (name: string): string => name.slice(tablePrefix.length);

/** Where builds find the agent's proxy, at the gateway's address. It hangs up on everybody else: forward-proxy.ts. */
export const proxyPort = 3128;

/** No container has business there: this host, private networks, link-local with its metadata services, other containers, groups. */
export const forbidden = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
];

export interface RulesInput {
  key: string;
  region: Region;
  /** The interfaces of default routes; without one nothing is let out. */
  uplinks: string[];
  /** Networks that are the uplinks' own: neighbours of the node, whatever their addresses are. */
  neighbours: string[];
  /** We have made the uplinks forward: then nobody else is forwarded between them for it. */
  ownForwarding: boolean;
}

/** Replaces the table as a whole, in one transaction. */
export function rules({ key, region, uplinks, neighbours, ownForwarding }: RulesInput): string {
  const table = `inet ${tableName(key)}`;
  const ours = `"${linkPrefix(key)}*"`;
  const out = uplinks.length > 0 ? `{ ${uplinks.map((name) => `"${name}"`).join(", ")} }` : undefined;
  const none = [...new Set([...forbidden, ...neighbours])].join(", ");
  return `table ${table}
delete table ${table}
table ${table} {
  set forbidden {
    type ipv4_addr
    flags interval
    auto-merge
    elements = { ${none} }
  }
  chain arrival {
    type filter hook prerouting priority raw; policy accept;
    iifname ${ours} jump from_container
  }
  chain from_container {
    meta nfproto ipv6 drop
    fib saddr . iif oif missing drop
    ip daddr ${region.resolver} udp dport 53 accept
    ip daddr ${region.resolver} tcp dport { 53, ${proxyPort} } accept
    ip daddr @forbidden drop
    fib daddr type { local, broadcast, multicast, anycast } drop
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifname ${ours} ip daddr ${region.resolver} udp dport 53 accept
    iifname ${ours} ip daddr ${region.resolver} tcp dport { 53, ${proxyPort} } accept
    iifname ${ours} drop
    ip daddr ${region.resolver} iifname != "lo" drop
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifname ${ours} oifname ${ours} drop
    ${out ? `iifname ${ours} oifname ${out} accept` : ""}
    iifname ${ours} drop
    oifname ${ours} ct state established,related accept
    oifname ${ours} drop
    ${out && ownForwarding ? `iifname ${out} oifname ${out} drop` : ""}
  }
  chain departure {
    type nat hook postrouting priority srcnat; policy accept;
    ${out ? `ip saddr ${region.range} oifname ${out} masquerade` : ""}
  }
}
`;
}
