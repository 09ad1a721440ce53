// ⑤ Which paths of a machine enter its image: the package database's own formats, and the rules that keep secrets out.

import { describe, expect, it } from "vitest";
import { mountPointsBelow } from "../../fusefs/detach.ts";
import { dependencyClosure, parseDiversions, parseStatus } from "../../fusefs/image/host-dpkg.ts";
import { parseLdd } from "../../fusefs/image/host-loader.ts";
import { mayEnter } from "../../fusefs/image/host-rules.ts";

const status = `Package: python3
Status: install ok installed
Architecture: amd64
Pre-Depends: python3-minimal (= 3.11)
Depends: python3.11 (>= 3.11.2-1~), libpython3-stdlib:amd64 (= 3.11.2-1+b1), awk
Description: interpreter
 Depends: this line belongs to the description

Package: python3-minimal
Status: install ok installed
Architecture: amd64
Depends: dpkg (>= 1.13)

Package: python3.11
Status: install ok installed
Architecture: amd64
Depends: missing | tzdata, python3

Package: mawk
Status: install ok installed
Architecture: amd64
Provides: awk

Package: tzdata
Status: install ok installed
Architecture: all
Depends: debconf (>= 0.5) | debconf-2.0

Package: debconf
Status: install ok installed
Architecture: all

Package: gone
Status: deinstall ok config-files
Architecture: all
`;

describe("the package database", () => {
  it("gives the closure of installed dependencies, through alternatives, provided names and cycles, without what only configures", () => {
    const packages = parseStatus(status);
    expect(packages.map(({ name }) => name)).not.toContain("gone");
    const closure = dependencyClosure(packages, ["python3", "gone"]).map(({ name }) => name);
    expect(closure).toEqual(["mawk", "python3", "python3-minimal", "python3.11", "tzdata"]);
  });

  it("knows where diverted files lie", () => {
    expect(parseDiversions("/bin/sh\n/bin/sh.distrib\ndash\n").get("/bin/sh")).toEqual({ to: "/bin/sh.distrib", by: "dash" });
  });
});

describe("the loader's answer", () => {
  it("gives libraries and the loader itself, and skips what has no file", () => {
    const answer =
      "/bin/a:\n\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlost => not found\n";
    expect(parseLdd(answer)).toEqual(["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
  });
});

describe("the image's rules", () => {
  it.each([
    "/etc/shadow",
    "/etc/machine-id",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssl/private/key.pem",
    "/etc/ssl/certs/private/key.pem",
    "/etc/passwd",
    "/etc/hostname",
    "/root/.ssh/id_rsa",
    "/home/me/file",
    "/var/lib/secret",
    "/usr/local/lib/token",
    "/usr/share/doc/x/README",
    "/usrx/bin/a",
    "/opt/x",
    // A key that somebody left beside its certificate.
    "/etc/ssl/certs/server.key",
    "/etc/ssl/certs/private-server.pem",
  ])("keep %s out", (path) => expect(mayEnter(path)).toBe(false));

  it.each([
    "/usr/bin/python3",
    "/bin",
    "/lib64",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/alternatives/awk",
    "/usr/local/share/ca-certificates/own.crt",
  ])("let %s in", (path) => expect(mayEnter(path)).toBe(true));
});

describe("finding mounts of ours", () => {
  it("reads escaped paths, takes only our type below the folder, and gives the innermost first", () => {
    const mountinfo = [
      "22 1 8:1 / / rw - ext4 /dev/root rw",
      "30 22 0:40 / /run/hob/a\\040b ro - fuse.hob hob ro,user_id=0",
      "31 22 0:41 / /run/hob/a\\040b/inner ro shared:3 - fuse.hob hob ro",
      "32 22 0:42 / /run/hobbit ro - fuse.hob hob ro",
      "33 22 0:43 / /run/hob/tmp rw - tmpfs tmpfs rw",
    ].join("\n");
    expect(mountPointsBelow(mountinfo, "/run/hob")).toEqual(["/run/hob/a b/inner", "/run/hob/a b"]);
  });
});
