"""⑤ The isolation probe: what a container must not be able to do, tried from inside of one. A row a check, in CHECKS."""

import os
import socket
import threading

import hob

from attempts import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MIB,
    absent,
    abstract_sockets,
    call,
    capabilities,
    clone_with,
    core_dumps,
    device,
    disk,
    environment,
    few_processes,
    in_child,
    keeps_setuid_powerless,
    memory,
    neighbours,
    netlink_change,
    node,
    open_files,
    processes,
    raw,
    refused_or,
    setuid_gain,
    snapshots,
    socket_file,
    status,
    uid_map,
    unanswered,
    unwritable,
    upwards,
)

app = hob.App("hob-isolation")

# name, what it tries, the check: None when the boundary holds.
CHECKS = [
    ("mount", "mount a tmpfs over /mnt", lambda f: call("mount", b"tmpfs", b"/mnt", b"tmpfs", 0, None)),
    ("remount", "remount the root as writable", lambda f: call("mount", None, b"/project", None, 32 | 4096, None)),
    ("unmount", "unmount /proc", lambda f: in_child(lambda: call("umount2", b"/proc/fs", 2))),
    ("mount-api", "make a file system with fsopen", lambda f: call("fsopen", b"tmpfs", 0)),
    ("open-tree", "copy a mount with open_tree", lambda f: call("open_tree", -100, b"/tmp", 1)),
    ("pivot-root", "make another folder the root", lambda f: call("pivot_root", b"/tmp", b"/tmp")),
    ("chroot", "change the root", lambda f: in_child(lambda: call("chroot", b"/tmp"))),
    ("user-namespace", "unshare a user namespace", lambda f: in_child(lambda: call("unshare", CLONE_NEWUSER))),
    ("mount-namespace", "unshare a mount namespace", lambda f: in_child(lambda: call("unshare", CLONE_NEWNS))),
    ("network-namespace", "unshare a network namespace", lambda f: in_child(lambda: call("unshare", CLONE_NEWNET))),
    ("clone-namespace", "clone into a user namespace", lambda f: clone_with(CLONE_NEWUSER)),
    ("clone3", "use clone3, whose flags no filter can see", lambda f: call("clone3", None, 0)),
    ("setns", "enter another namespace", lambda f: call("setns", -1, 0)),
    ("ptrace", "attach to pid 1", lambda f: in_child(lambda: call("ptrace", 16, 1, 0, 0))),
    ("other-memory", "read another process' memory", lambda f: call("process_vm_readv", 1, None, 0, None, 0, 0)),
    ("other-files", "take a file from another process", lambda f: call("pidfd_getfd", -1, 0, 0)),
    ("other-processes", "see processes of the node or of other containers", lambda f: few_processes()),
    ("proc-sys", "write to kernel settings", lambda f: unwritable("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/hostname")),
    ("sysrq", "write to /proc/sysrq-trigger", lambda f: unwritable("/proc/sysrq-trigger", "/proc/irq/default_smp_affinity")),
    ("proc-kcore", "read the kernel's memory in /proc", lambda f: None if not os.path.exists("/proc/kcore") or os.stat("/proc/kcore").st_size == 0 or not os.access("/proc/kcore", os.R_OK) or os.path.ismount("/proc/kcore") else "/proc/kcore can be read"),
    ("sys", "write to /sys", lambda f: unwritable("/sys/kernel/mm/ksm/run", "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled")),
    ("cgroup", "write to cgroup files", lambda f: unwritable("/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/tasks", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/memory")),
    ("kernel-module", "load a kernel module", lambda f: call("finit_module", -1, b"", 0)),
    ("kernel-module-remove", "remove a kernel module", lambda f: call("delete_module", b"hob_none", 0x800)),
    ("kexec", "load another kernel", lambda f: call("kexec_load", 0, 1, None, 1)),
    ("bpf", "load a BPF program", lambda f: call("bpf", 0, None, 0)),
    ("perf", "measure the kernel with perf_event_open", lambda f: call("perf_event_open", None, 0, -1, -1, 0)),
    ("keyring", "read a keyring", lambda f: call("keyctl", 0, -3, 0)),
    ("key-add", "add a key", lambda f: call("add_key", None, None, None, 0, -3)),
    ("io-uring", "make an io_uring", lambda f: call("io_uring_setup", 1, None)),
    ("userfaultfd", "handle page faults in user space", lambda f: call("userfaultfd", 0o2000000)),
    ("file-handle", "open a file by its handle, past all paths", lambda f: call("open_by_handle_at", -100, None, 0)),
    ("fanotify", "watch a whole file system", lambda f: call("fanotify_init", 0, 0)),
    ("reboot", "set what ctrl-alt-delete does", lambda f: call("reboot", 0, 0, 0, None)),
    ("swap", "add swap", lambda f: call("swapon", b"/hob-none", 0)),
    ("clock", "set the clock", lambda f: call("clock_settime", 99, None)),
    ("time-of-day", "set the time of day", lambda f: call("settimeofday", None, None)),
    ("kernel-log", "read the kernel's log", lambda f: call("syslog", 10, None, 0)),
    ("accounting", "switch process accounting", lambda f: call("acct", b"/hob-none")),
    ("hostname", "set the host's name", lambda f: in_child(lambda: call("sethostname", None, -1))),
    ("io-ports", "reach I/O ports", lambda f: in_child(lambda: call("iopl", 3))),
    ("personality", "switch address randomisation off", lambda f: in_child(lambda: call("personality", 0x0040000))),
    ("device-memory", "make a node for the machine's memory", lambda f: device((1, 1), f"/tmp/hob-mem-{os.getpid()}")),
    ("device-disk", "make a node for a disk", lambda f: device((8, 0), f"/tmp/hob-disk-{os.getpid()}")),
    ("devices", "find devices of the node", lambda f: absent("/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/dev/sda", "/dev/vda", "/dev/loop-control", "/dev/net/tun")),
    ("raw-socket", "open a raw IP socket", lambda f: raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
    ("packet-socket", "open a packet socket", lambda f: raw(socket.AF_PACKET, socket.SOCK_RAW, 0)),
    ("vsock", "open a socket to the hypervisor", lambda f: raw(40, socket.SOCK_STREAM, 0)),
    ("netlink", "take an interface down", lambda f: refused_or(netlink_change)),
    ("no-new-privileges", "gain by a program's file", lambda f: setuid_gain()),
    ("setuid", "gain by a setuid program", lambda f: keeps_setuid_powerless()),
    ("capabilities", "have a capability", lambda f: capabilities()),
    ("uid", "be a user that the node knows", lambda f: uid_map()),
    ("seccomp", "run without a filter of system calls", lambda f: None if status().get("Seccomp", "0").strip() == "2" else "there is no filter"),
    ("node-paths", "find folders of the node", lambda f: absent("/run/hob", "/var/lib/hob", "/etc/shadow", "/root/.ssh", "/var/run/docker.sock", "/run/containerd", *f.get("paths", []))),
    ("control", "connect to control's socket", lambda f: socket_file(f.get("control"))),
    ("abstract-sockets", "find abstract sockets of the node", lambda f: abstract_sockets()),
    ("other-apps", "find another app's snapshots", lambda f: snapshots()),
    ("links", "follow a link out of the root", lambda f: upwards()),
    ("read-only", "write to the SDK or the project", lambda f: unwritable("/hob", "/project", os.path.dirname(os.path.abspath(__file__)))),
    ("memory", "take more memory than the limit", lambda f: memory(f.get("memory", 256 * MIB))),
    ("processes", "start processes without end", lambda f: processes()),
    ("disk", "find room to write without end", lambda f: disk()),
    ("open-files", "raise the limit of open files", lambda f: open_files()),
    ("core-dumps", "dump a core", lambda f: core_dumps()),
    ("environment", "find secrets in the environment of pid 1", lambda f: environment()),
    ("node-address", "reach the node by its addresses", lambda f: node(f)),
    ("metadata", "reach the metadata service", lambda f: unanswered("169.254.169.254", 80)),
    ("private-network", "reach private networks", lambda f: unanswered("10.0.0.1", 80) or unanswered("192.168.1.1", 80) or unanswered("172.16.0.1", 80)),
    ("other-container", "reach another container", lambda f: neighbours()),
    ("spoofed-source", "send from another's address", lambda f: unanswered("203.0.113.1", 80, source="198.51.100.7")),
    ("ipv6", "leave by IPv6", lambda f: unanswered("2001:db8::1", 80, socket.AF_INET6) or unanswered("fe80::1", 80, socket.AF_INET6)),
]  # fmt: skip


def run_checks(facts):
    rows = []
    slow = {}

    def one(name, check):
        try:
            slow[name] = check(facts)
        except Exception as error:  # a check that breaks has shown nothing
            slow[name] = f"the check itself failed: {type(error).__name__}: {error}"

    waiting = {"node-address", "metadata", "private-network", "other-container", "spoofed-source", "ipv6"}
    threads = [threading.Thread(target=one, args=(name, check)) for name, _, check in CHECKS if name in waiting]
    only = facts.get("only")
    for name, _, check in CHECKS:
        if name not in waiting and (not only or name in only):
            one(name, check)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, tries, _ in CHECKS:
        if name in slow:
            rows.append({"check": name, "tries": tries, "held": slow[name] is None, "found": slow[name] or ""})
    return rows


@app.function(memory="256MiB", timeout=60)
def probe(facts: dict) -> list:
    return run_checks(facts)
