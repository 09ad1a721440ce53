"""⑤ What the isolation probe tries: each answers None where it is refused, else what happened."""

import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import threading

libc = ctypes.CDLL(None, use_errno=True)
CALLS = {
    # name: (x86_64, aarch64); asm/unistd_64.h, asm-generic/unistd.h
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97),
    "setns": (308, 268), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "reboot": (169, 142), "swapon": (167, 224), "settimeofday": (164, 170), "clock_settime": (227, 112), "syslog": (103, 116),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "process_vm_readv": (310, 270),
    "sethostname": (170, 161), "acct": (163, 89), "quotactl": (179, 60), "fsopen": (430, 430), "open_tree": (428, 428),
    "move_mount": (429, 429), "clone3": (435, 435), "clone": (56, 220), "personality": (135, 92), "fanotify_init": (300, 262),
    "iopl": (172, -1), "chroot": (161, 51), "pidfd_getfd": (438, 438),
}  # fmt: skip
COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS}
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
PATIENCE = 0.5  # seconds for a packet that must not be answered
MIB = 1 << 20


def call(name, *arguments):
    """None when the kernel refuses that system call; else what happened. A call that got as far as its arguments was not refused."""
    number = CALLS[name][COLUMN]
    if number < 0:
        return None
    ctypes.set_errno(0)
    given = [a if isinstance(a, (bytes, type(None), ctypes.Structure)) or hasattr(a, "_obj") else ctypes.c_long(a) for a in arguments]
    if libc.syscall(ctypes.c_long(number), *given) >= 0:
        return "it succeeded"
    code = ctypes.get_errno()
    return None if code in REFUSED else f"it was tried: {os.strerror(code)}"


def in_child(work):
    """What `work` says in a process of its own, so that nothing of it stays."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, (work() or "").encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b"".join(iter(lambda: os.read(reading, 4096), b"")).decode()
    os.close(reading)
    os.waitpid(child, 0)
    return said or None


def refused(work, allowed=frozenset()):
    """None when `work` ends with a refusal, or with one of `allowed`."""
    try:
        work()
    except OSError as error:
        return None if error.errno in REFUSED | allowed else f"it was tried: {error.strerror or error}"
    return "it succeeded"


def absent(*paths):
    for path in paths:
        if path and os.path.lexists(path):
            try:
                if not stat.S_ISDIR(os.stat(path).st_mode) or os.listdir(path):
                    return f"{path} is there"
            except OSError:
                continue
    return None


def unwritable(*paths):
    def write(path):
        if os.path.isdir(path):
            name = os.path.join(path, ".hob-probe")
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            os.unlink(name)
        else:
            os.close(os.open(path, os.O_WRONLY))

    for path in paths:  # ENOENT: an empty folder of /sys has room for nothing
        if os.path.exists(path) and (said := refused(lambda path=path: write(path), {errno.ENOENT})):
            return f"{path}: {said}"
    return None


def status():
    with open("/proc/self/status") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


def clone_with(flags):
    def work():
        result = libc.syscall(ctypes.c_long(CALLS["clone"][COLUMN]), ctypes.c_long(flags | signal.SIGCHLD), *[ctypes.c_long(0)] * 4)
        if result == 0:
            os._exit(0)
        return "it succeeded" if result > 0 else None

    return in_child(work)


def device(number, path):
    def work():
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(*number))
        try:
            os.close(os.open(path, os.O_RDONLY))
        finally:
            os.unlink(path)

    return refused(work)


def capabilities():
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status()[name], 16):
            return f"{name} is {status()[name].strip()}"
    return None


def uid_map():
    with open("/proc/self/uid_map") as file:
        inside, outside, _ = map(int, file.readline().split())
    return None if inside == 0 and outside > 65_535 else f"uid {inside} is uid {outside} of the node"


def few_processes():
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 1]
    with open("/proc/1/cmdline", "rb") as file:
        first = file.read().replace(b"\0", b" ").decode()
    return None if len(others) < 60 and "/hob/" in first else f"pid 1 is {first[:60]!r}, and {len(others)} others are seen"


def setuid_gain():
    return None if status().get("NoNewPrivs", "0").strip() == "1" else "no_new_privs is not set"


def keeps_setuid_powerless():
    """A copy of a program, setuid for another user, runs as the one who starts it."""
    path = f"/tmp/hob-probe-{os.getpid()}"
    with open("/proc/self/exe", "rb") as source, open(path, "wb") as target:
        while piece := source.read(MIB):
            target.write(piece)
    try:
        os.chown(path, 1000, 1000)
        os.chmod(path, 0o4755)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            try:
                os.execve(path, [path, "-I", "-S", "-c", "import os; print(os.geteuid())"], {"PYTHONHOME": "/usr"})
            finally:
                os._exit(1)
        os.close(writing)
        said = os.read(reading, 100).decode().strip()
        os.close(reading)
        os.waitpid(child, 0)
        return f"it ran as uid {said}" if said == "1000" else None
    except OSError:
        return None
    finally:
        os.unlink(path)


def abstract_sockets():
    with open("/proc/net/unix") as file:
        names = [line.split()[-1] for line in file.read().splitlines()[1:] if "@" in line]
    return f"{names[0]} is there" if names else None


def snapshots():
    for name in os.listdir("/project"):
        if not os.path.exists(f"/project/{name}/probe.py"):
            return f"/project/{name} is another app's"
    return None


def upwards():
    """A link that leads out of the root, and the root's own parent, stay in the root."""
    path = f"/tmp/hob-link-{os.getpid()}"
    os.symlink("../" * 40 + "proc/1/root/../../..", path)
    try:
        here, there = os.stat("/"), os.stat(path)
        return None if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) and "overlay" in root_type() else "it leads elsewhere"
    except OSError:
        return None
    finally:
        os.unlink(path)


def root_type():
    with open("/proc/self/mounts") as file:
        return [row[2] for row in (line.split() for line in file) if row[1] == "/"][-1]


def memory(limit):
    def work():
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        block = mmap.mmap(-1, 2 * limit)
        for at in range(0, len(block), 4096):
            block[at] = 1

    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, ended = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(ended) else f"{2 * limit // MIB} MiB were taken"


def processes():
    def work():
        threading.stack_size(65_536)
        end = threading.Event()
        try:
            for _ in range(3000):
                threading.Thread(target=end.wait, daemon=True).start()
            return "3,000 threads were started"
        except RuntimeError:
            return None

    return in_child(work)


def disk():
    for path in ("/", "/tmp", "/dev/shm"):
        found = os.statvfs(path)
        if found.f_blocks * found.f_frsize > 1024 * MIB:
            return f"{path} has {found.f_blocks * found.f_frsize // MIB} MiB"
    return None


def open_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 65_536:
        return f"{hard} files may be opened"
    return None if in_child(lambda: raised(hard)) is None else "the limit was raised"


def raised(hard):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
        return "raised"
    except (ValueError, OSError):
        return None


def core_dumps():
    return None if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else "a core may be dumped"


def environment():
    known = ("PATH", "HOME", "LANG", "PYTHON", "HOB_", "NODE_", "NVIDIA_", "LD_LIBRARY_PATH")
    try:
        with open("/proc/1/environ", "rb") as file:
            names = [part.split(b"=")[0].decode() for part in file.read().split(b"\0") if part]
    except OSError:
        return None
    strange = [name for name in names if not name.startswith(known)]
    return f"pid 1 has {strange[0]}" if strange else None


def unanswered(address, port, family=socket.AF_INET, source=None):
    """Nothing comes back, not even a refusal."""
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        try:
            if source:
                s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
                s.bind((source, 0))
            s.connect((address, port))
        except ConnectionRefusedError:
            return f"{address} port {port} answered"
        except OSError:
            return None
    return f"{address} port {port} was reached"


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("203.0.113.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def gateway():
    with open("/proc/net/route") as file:
        for row in (line.split() for line in file.read().splitlines()[1:]):
            if row[1] == "00000000":
                return socket.inet_ntoa(struct.pack("<L", int(row[2], 16)))
    return None


def neighbours():
    own = own_address()
    if not own:
        return None
    number = struct.unpack(">L", socket.inet_aton(own))[0]
    for step in (1, 2, 3):
        if said := unanswered(socket.inet_ntoa(struct.pack(">L", number + step)), 80):
            return said
    return None


def node(facts):
    for address in [gateway(), *facts.get("addresses", [])]:
        for port in (22, 80, 111):
            if address and (said := unanswered(address, port)):
                return said
    return None


def raw(family, kind, protocol):
    return refused(lambda: socket.socket(family, kind, protocol).close(), {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT})


def netlink_change():
    """RTM_NEWLINK that takes the loopback device down."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack("=LHHLL BxHiII", 32, 16, 5, 1, 0, 0, 0, 1, 0, 0))
        code = -struct.unpack("=i", s.recv(4096)[16:20])[0]
        return None if code in REFUSED else f"it was tried: {code and os.strerror(code)}"


def socket_file(path):
    if not path or not os.path.exists(path):
        return None
    with socket.socket(socket.AF_UNIX) as s:
        return refused(lambda: s.connect(path))


def refused_or(work):
    try:
        return work()
    except OSError as error:
        return None if error.errno in REFUSED else f"it was tried: {error.strerror}"
