"""⑥ The zygote's view of a process: how one is forked, what it was given, how it ended."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from .. import frames
from .link import Link
from .output import LineCutter
from .process import SnapshotProcess
from .project import Project


class Child:
    """One process: waiting as a spare, loading, idle, or running a call."""

    def __init__(self, pid: int, link: Link, out: int, err: int) -> None:
        self.pid = pid
        self.link = link
        self.streams: dict[int, tuple[str, LineCutter]] = {out: ("stdout", LineCutter()), err: ("stderr", LineCutter())}
        self.snapshot = ""  # "" while it is a spare
        self.loads: list[int] = []  # load frames not answered yet; 0 is one that the agent did not ask for
        self.running = ""  # the call that it was given
        self.dropped = 0  # bytes of this call's output
        self.queue: deque[frames.Frame] = deque()  # calls that wait for their turn
        self.retired = False  # ends once it has nothing to do
        self.ending = False  # is given nothing more
        self.expected = False  # we asked it to end


def fork(epoll: select.epoll, project: Project, startup_modules: frozenset[str], zygote_fds: list[int], spare: bool) -> Child:
    """Forks a process that waits for its load, a spare one for long. `zygote_fds` are the descriptors that it must not inherit."""
    ours, theirs = (end.detach() for end in socket.socketpair())
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    gc.freeze()  # what exists now is never moved or counted again, so its pages stay shared
    try:
        pid = os.fork()
    except OSError:
        for fd in (ours, theirs, out, out_end, err, err_end):
            os.close(fd)
        raise
    if pid == 0:
        _become_child([*zygote_fds, ours, out, err], (out_end, err_end), lambda: SnapshotProcess(project, theirs, startup_modules).run(spare))
    for fd in (theirs, out_end, err_end):
        os.close(fd)
    for fd in (out, err):
        os.set_blocking(fd, False)
        epoll.register(fd, select.EPOLLIN)
    return Child(pid, Link(ours, epoll), out, err)


def _become_child(close: list[int], outputs: tuple[int, int], run: Callable[[], NoReturn]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for number in close:
            os.close(number)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        for target, source in enumerate(outputs, 1):
            os.dup2(source, target)
            os.close(source)
        _prefer_for_memory_kill()
        gc.enable()
        run()
    except BaseException:  # of ours: the zygote's code above this frame must not go on in two processes
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(70)


def _prefer_for_memory_kill() -> None:
    """When the container is over its memory, the kernel shall end this process, not the zygote."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # no /proc here: then the container ends as a whole


def signal_group(child: Child, number: int) -> None:
    """The process and what it started. It is not reaped yet, so the group's number is still its own."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        # Between fork and setsid there is no group of its own.
        os.kill(child.pid, number)


_signals = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGABRT: "abort",
    signal.SIGKILL: "killed",
    signal.SIGTERM: "terminated",
}


def outcome_of(status: Any) -> tuple[str, str]:
    """(failure kind, how it ended) for what waitid returned."""
    if status.si_code == os.CLD_EXITED:
        return "exit", f"exited with code {status.si_status}"
    number = status.si_status
    name = _signals.get(number) or signal.strsignal(number) or "unknown"
    return "signal", f"was ended by signal {number} ({name.lower()})"
