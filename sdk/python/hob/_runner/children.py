"""⑥ The zygote's view of a process: how one is forked, what it was given, how it ended."""

from __future__ import annotations

import _signal as signal  # the module over it costs a start 1 ms
import _socket  # the module over it costs a start 3 ms
import array
import gc
import os
import select
import sys

from .. import frames
from . import forking, work
from .link import Link
from .output import LineCutter
from .process import ServingProcess
from .project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .servings import Serving


class Child:
    """One process: waiting as a spare, loading, idle, or running a call; or a template that others are forked from."""

    def __init__(self, pid: int, link: Link, line: int, outputs: tuple[int, int]) -> None:
        self.pid = pid  # 0 until a template has told it
        self.link = link
        self.line = line  # where a template gets the descriptors of the process that it is to fork
        out, err = outputs
        self.streams: dict[int, tuple[str, LineCutter]] = {out: ("stdout", LineCutter()), err: ("stderr", LineCutter())}
        self.serving: Serving | None = None  # None while it is a spare
        self.home = ""  # the snapshot whose folder it lives in
        self.known: set[str] = set()  # snapshots whose files it knows
        self.loads: list[int] = []  # load frames not answered yet; 0 is one that the agent did not ask for
        self.patching = False  # the loads are patches: calls may be sent after them at once
        self.running: frames.Frame | None = None  # the call, or inputs of a map, that it was given
        self.calls = 0  # that it was given so far
        self.dropped = 0  # bytes of this call's output
        self.parent: Child | None = None  # the template that forks it
        self.guilty: int | None = None  # it has died: the position of the input that it was in
        self.ending = False  # is given nothing more
        self.expected = False  # we asked it to end
        self.terminated = False  # to be signalled as soon as its number is known
        self._held: list[bytes] | None = None  # what it is sent once it is let go

    @property
    def call(self) -> str:
        """The one that it runs, or the map that its inputs are of; "" outside of one."""
        return work.speaker(self.running) if self.running else ""

    def hold(self) -> None:
        """From now on what it is sent waits until it is let go."""
        if self._held is None:
            self._held = []

    def let_go(self) -> None:
        held, self._held = self._held, None
        for data in held or ():
            self.send(data)

    def send(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            self.link.send(data)

    @property
    def fds(self) -> list[int]:
        return [fd for fd in (self.link.fd, self.line, *self.streams) if fd >= 0]


class Ends:
    """Both ends of what joins a process to the zygote."""

    def __init__(self) -> None:
        self.ours, self.theirs = (end.detach() for end in _socket.socketpair())
        self.line, self.their_line = (end.detach() for end in _socket.socketpair())
        self.out, self.out_end = os.pipe()
        self.err, self.err_end = os.pipe()

    @property
    def for_them(self) -> tuple[int, int, int, int]:
        return self.theirs, self.out_end, self.err_end, self.their_line

    def close_theirs(self) -> None:
        for fd in self.for_them:
            os.close(fd)

    def close(self) -> None:
        self.close_theirs()
        for fd in (self.ours, self.line, self.out, self.err):
            os.close(fd)

    def child(self, pid: int, epoll: select.epoll) -> Child:
        self.close_theirs()
        for fd in (self.out, self.err):
            os.set_blocking(fd, False)
            epoll.register(fd, select.EPOLLIN)
        return Child(pid, Link(self.ours, epoll), self.line, (self.out, self.err))


def fork(epoll: select.epoll, project: Project, startup_modules: frozenset[str], zygote_fds: list[int], spare: bool) -> Child:
    """Forks a process that waits for its load, a spare one for long. `zygote_fds` are the descriptors that it must not inherit."""
    ends = Ends()
    gc.freeze()  # what exists now is never moved or counted again, so its pages stay shared
    try:
        pid = os.fork()
    except OSError:
        ends.close()
        raise
    if pid == 0:
        _become_child(
            [*zygote_fds, ends.ours, ends.line, ends.out, ends.err],
            (ends.out_end, ends.err_end),
            lambda: ServingProcess(project, ends.theirs, ends.their_line, startup_modules).run(spare),
        )
    child = ends.child(pid, epoll)
    child.known = set(project.snapshots)
    return child


def fork_from(template: Child, epoll: select.epoll) -> Child:
    """Asks a template for a copy of itself. What is sent to the copy waits in its socket until it is there."""
    ends = Ends()
    line = _socket.socket(fileno=os.dup(template.line))
    line.sendmsg([b"f"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", ends.for_them))])
    line.close()
    template.link.send(frames.encode(forking.FORK, {}))
    child = ends.child(0, epoll)
    child.parent, child.known, child.serving, child.home = template, set(template.known), template.serving, template.home
    return child


def _become_child(close: list[int], outputs: tuple[int, int], run: Callable[[], NoReturn]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
            file.write("1000")
    except OSError:
        pass  # no /proc here: then the container ends as a whole


def signal_group(child: Child, number: int) -> None:
    """The process and what it started. It is not reaped yet, so the group's number is still its own."""
    if child.pid == 0:
        child.terminated = True
        return
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        # Between fork and setsid there is no group of its own.
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            pass  # a template's, which has ended and is not known yet


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
