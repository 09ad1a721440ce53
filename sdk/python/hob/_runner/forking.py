"""⑥ Forks a process that has loaded its code, so that the copy runs calls and the original stays a template without what calls leave behind."""

from __future__ import annotations

import _signal as signal  # the module over it costs a start 1 ms
import _socket
import array
import os
import sys

from .. import frames
from ..channel import Channel

#: Frames between the zygote and its processes only: fork, with the new process's descriptors on the line; how that went; a call that was
#: given together with a patch, which could not be made.
FORK = 32
FORKED = 33
BOUNCED = 34
frames.NAMES.update({FORK: "fork", FORKED: "forked", BOUNCED: "bounced"})


def fork_from_here(channel: Channel, line: int) -> tuple[int, int] | None:
    """
    In the new process (its link, its line); in this one None, with the zygote told the new one's number or why there is none.
    The new process is the zygote's child, not ours: whoever is between the two ends at once, so that the kernel hands it over.
    """
    source = _socket.socket(fileno=os.dup(line))
    fds = array.array("i")
    _, ancillary, _, _ = source.recvmsg(1, _socket.CMSG_SPACE(4 * fds.itemsize))
    source.close()
    fds.frombytes(ancillary[0][2])
    link, out, err, new_line = fds
    reason = _unfit()
    pid = 0
    if not reason:
        seeded = _random_state()
        told, teller = os.pipe()
        try:
            between = os.fork()
        except OSError as error:
            reason = error.strerror or "no process could be started"
            between = -1
        if between == 0:
            try:
                pid = os.fork()
            except OSError:
                os._exit(1)
            if pid:
                os.write(teller, str(pid).encode())
                os._exit(0)
            for fd in (told, teller):
                os.close(fd)
            _become(channel.fd, line, out, err)
            if seeded is not None:
                sys.modules["random"].setstate(seeded)
            elif "numpy.random" in sys.modules:
                sys.modules["numpy.random"].seed()
            return link, new_line
        os.close(teller)
        if between > 0:
            pid = int(os.read(told, 32) or b"0")
            os.waitpid(between, 0)
        os.close(told)
    for fd in fds:
        os.close(fd)
    channel.send(FORKED, {"pid": pid, "reason": reason})
    return None


def _become(old_link: int, old_line: int, out: int, err: int) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in (old_link, old_line):
        os.close(fd)
    for target, source in ((1, out), (2, err)):
        os.dup2(source, target)
        os.close(source)


def _unfit() -> str:
    """Why a copy of this process would not be whole; "" when it would."""
    if len(os.listdir("/proc/self/task")) > 1:
        return "what it has loaded runs threads"
    return "it holds a GPU" if holds_gpu("self") else ""


def holds_gpu(pid: int | str) -> bool:
    """
    A process that has begun to use CUDA has the driver's devices open, and no copy of it can use them. `import torch` alone loads libcuda and
    opens nothing: a copy of such a process uses the GPU as any other.
    """
    if not os.path.exists("/dev/nvidiactl"):
        return False
    folder = f"/proc/{pid}/fd"
    try:
        return any(_target(f"{folder}/{fd}").startswith("/dev/nvidia") for fd in os.listdir(folder))
    except OSError:
        return False  # it has just ended


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # closed meanwhile


def _random_state() -> object:
    """Python seeds `random` anew in a forked process; where the project seeded it, it goes on from there instead."""
    random = sys.modules.get("random")
    seeded = any(b"seed(" in line for module in _project_sources() for line in module)
    return random.getstate() if random is not None and seeded else None


def _project_sources() -> list[list[bytes]]:
    import linecache

    cached = [entry[2] for path, entry in linecache.cache.items() if len(entry) > 2 and not path.startswith(("/", "<"))]
    return [[line.encode() for line in lines] for lines in cached]
