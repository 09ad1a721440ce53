"""⑥ The zygote's processes: forked, joined by descriptors, ended in order or by force, reaped."""

from __future__ import annotations

import _signal as signal  # the module over it costs a start 1 ms
import os
import select
import time
from collections import deque

from .. import failures, frames
from . import children, forking
from .children import Child
from .inputs import progress_of
from .link import Link
from .output import OutputRelay
from .project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Events(Protocol):
        def accept(self, child: Child, frame: frames.Frame) -> None:
            """A frame that a process sent."""

        def died(self, child: Child, kind: str, how: str) -> None:
            """It is gone, and what it wrote has been passed on."""

        def not_forked(self, child: Child, reason: str) -> None:
            """What was to be a copy of its parent has not come to be."""


#: From SIGTERM to SIGKILL.
_grace_s = 2.0


class Processes:
    def __init__(self, epoll: select.epoll, agent: Link, project: Project, startup_modules: frozenset[str], own_fds: list[int]) -> None:
        self._epoll, self._project, self._startup_modules, self._own_fds = epoll, project, startup_modules, own_fds
        self.by_fd: dict[int, Child] = {}
        self.output = OutputRelay(agent, epoll, self.by_fd)
        self.events: Events
        self._pids: dict[int, Child] = {}  # not reaped yet
        self._unborn: list[Child] = []  # copies that their templates have not told the number of
        self._strays: deque[tuple[int, tuple[str, str]]] = deque(maxlen=64)  # (pid, outcome) of the unknown that have ended
        self._kills: deque[tuple[float, Child]] = deque()  # (when, whom), soonest first: the grace is one for all

    @property
    def any(self) -> bool:
        return bool(self._pids or self._unborn)

    def running(self, call: str) -> Child | None:
        return next((child for child in self.by_fd.values() if child.running and child.running.head.get("call") == call), None)

    def fork(self, spare: bool = False) -> Child:
        others = {child for child in self.by_fd.values()}
        inherited = [*self._own_fds, *(fd for child in others for fd in child.fds)]
        child = children.fork(self._epoll, self._project, self._startup_modules, inherited, spare)
        self._pids[child.pid] = child
        return self._watch(child)

    def fork_from(self, template: Child) -> Child:
        child = children.fork_from(template, self._epoll)
        self._unborn.append(child)
        return self._watch(child)

    def _watch(self, child: Child) -> Child:
        self.by_fd.update((fd, child) for fd in (child.link.fd, *child.streams))
        return child

    def handle(self, child: Child, fd: int, event: int) -> None:
        if fd in child.streams:
            self.output.read(child, fd)
        elif event & select.EPOLLOUT:
            child.link.writable()
        else:
            self._receive(child)

    def _receive(self, child: Child) -> bool:
        """False when nothing came."""
        try:
            received = child.link.receive()
            for frame in received or ():
                if frame.kind == forking.FORKED:
                    self._forked(child, frame.head)
                else:
                    self.events.accept(child, frame)
        except (frames.FrameError, KeyError, TypeError):
            received = None  # user code wrote to a descriptor that is not its own
        if received is None and child.link.fd >= 0:
            self._disconnect(child)
            if child not in self._unborn:
                child.ending = True  # its exit comes through reap; where it goes on without a connection, our kill makes it
                self._kill_later(child)
        return bool(received)

    def _forked(self, template: Child, told: dict[str, Any]) -> None:
        child = next(child for child in self._unborn if child.parent is template)
        self._unborn.remove(child)
        child.pid = told["pid"]
        if not child.pid:
            self._close(child)
            self.events.not_forked(child, told["reason"])
            return
        ended = next((outcome for pid, outcome in self._strays if pid == child.pid), None)
        if ended:
            self._bury(child, *ended)
            return
        self._pids[child.pid] = child
        if child.terminated:
            self.terminate(child)

    def terminate(self, child: Child) -> None:
        """SIGTERM for the process and what it started, SIGKILL when that has not ended it."""
        child.ending = child.expected = True
        children.signal_group(child, signal.SIGTERM)
        self._kill_later(child)

    def dismiss(self, child: Child) -> None:
        """Closing its connection ends it in order; what does not end is killed."""
        child.ending = child.expected = True
        if child.link.fd >= 0:
            self._disconnect(child)
        self._kill_later(child)

    def _disconnect(self, child: Child) -> None:
        del self.by_fd[child.link.fd]
        child.link.close()

    def _kill_later(self, child: Child) -> None:
        self._kills.append((time.monotonic() + _grace_s, child))

    def seconds_to_kill(self) -> float | None:
        return max(0.0, self._kills[0][0] - time.monotonic()) if self._kills else None

    def kill_due(self) -> None:
        while self._kills and self._kills[0][0] <= time.monotonic():
            child = self._kills.popleft()[1]
            if child.pid in self._pids:
                children.signal_group(child, signal.SIGKILL)

    def kill_all(self) -> None:
        for child in self._pids.values():
            children.signal_group(child, signal.SIGKILL)

    def reap(self) -> None:
        """As pid 1 all orphans are ours too."""
        while True:
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if status is None:
                return
            child = self._pids.pop(status.si_pid, None)
            if child is not None:
                children.signal_group(child, signal.SIGKILL)  # what it started and left behind
            os.waitpid(status.si_pid, 0)
            outcome = children.outcome_of(status)
            if child is not None:
                self._bury(child, *outcome)
            elif self._unborn:
                self._strays.append((status.si_pid, outcome))

    def _bury(self, child: Child, kind: str, how: str) -> None:
        child.ending = True
        while child.link.fd >= 0 and self._receive(child):
            pass  # a result that it sent before it died counts
        self.output.drain(child)
        if child.running and child.running.kind == frames.INPUTS:
            number, position = progress_of(child.line) or (0, 0)
            child.guilty = position if number == child.running.head["inputs"] else None
        self._close(child)
        self._kills = deque(kill for kill in self._kills if kill[1] is not child)
        for copy in [copy for copy in self._unborn if copy.parent is child]:
            self._unborn.remove(copy)
            self._close(copy)
            self.events.not_forked(copy, f"the process that was to be copied {how}")
        self.events.died(child, kind, how)

    def _close(self, child: Child) -> None:
        if child.link.fd >= 0:  # a process that it forked holds the other end
            self._disconnect(child)
        for fd in list(child.streams):  # something that it started may keep them open
            self.output.close(child, fd)
        if child.line >= 0:
            os.close(child.line)
            child.line = -1


def adopt_orphans() -> None:
    """Outside a container we are not pid 1: the kernel shall hand orphans to us all the same (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def no_process(error: OSError) -> dict[str, Any]:
    limit = "the container's limit of processes and threads is reached; end some that your functions have started"
    return failures.failure("load", f"no process could be started for the code: {error.strerror} ({limit})")
