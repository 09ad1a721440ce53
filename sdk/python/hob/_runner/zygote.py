"""⑥ The zygote: preloads imports, forks a process per snapshot, carries frames between them and the agent. Runs no user code."""

from __future__ import annotations

import gc
import os
import platform
import select
import signal
import sys
import time
from collections import deque
from typing import Any, NoReturn

from .. import failures, frames
from . import children
from .children import Child
from .link import Link
from .output import OutputRelay
from .preload import Preloader
from .project import Project, UnknownBase, owner_names

#: From SIGTERM to SIGKILL.
_grace_s = 2.0
#: Work that can wait (compiling, forking the next spare) begins when nothing has come for this long.
_quiet_s = 0.01
#: After a fork that failed, for the container's limit of processes is reached.
_no_fork_s = 1.0


class Zygote:
    def __init__(self, agent_fd: int, startup_modules: frozenset[str]) -> None:
        self._startup_modules = startup_modules
        self._epoll = select.epoll()
        self._agent = Link(agent_fd, self._epoll)
        self._project = Project()
        self._preloader = Preloader()
        self._versions: dict[str, dict[str, Any]] = {}  # snapshot → version digest → version
        self._children: dict[int, Child] = {}  # by each of its descriptors
        self._pids: dict[int, Child] = {}  # not reaped yet
        self._output = OutputRelay(self._agent, self._epoll, self._children)
        self._by_snapshot: dict[str, Child] = {}
        self._spare: Child | None = None
        self._no_spare_until = 0.0
        self._retired: set[str] = set()
        self._callers: dict[str, Child] = {}  # by the calls that their functions made
        self._kills: deque[tuple[float, Child]] = deque()  # (when, whom), soonest first: the grace is one for all
        self._later: deque[tuple[str, str]] = deque()  # (snapshot, path) to compile
        self._quiet_s = _quiet_s
        self._wakeup, wakeup_end = os.pipe()
        for fd in (self._wakeup, wakeup_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._fds = [agent_fd, self._wakeup, wakeup_end, self._epoll.fileno()]

    def run(self) -> NoReturn:
        gc.collect()
        gc.disable()  # a collection here would touch, and so copy, pages that all processes share
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
        interpreter = f"{platform.python_implementation().replace('CPython', 'Python')} {platform.python_version()}"
        self._send(frames.READY, {"protocol": frames.PROTOCOL, "language": "python", "interpreter": interpreter})
        while True:
            events = self._epoll.poll(self._patience())
            for fd, event in events:
                self._turn(fd, event)
            self._quiet_s = _quiet_s if events else 0
            if not events:
                self._work_ahead()
            while self._kills and self._kills[0][0] <= time.monotonic():
                child = self._kills.popleft()[1]
                if child.pid in self._pids:
                    children.signal_group(child, signal.SIGKILL)

    def _patience(self) -> float | None:
        """Seconds until something is due by itself."""
        wait = [self._quiet_s] if self._later else []
        if self._spare is None and self._by_snapshot:
            wait.append(max(self._quiet_s, self._no_spare_until - time.monotonic()))
        if self._kills:
            wait.append(max(0.0, self._kills[0][0] - time.monotonic()))
        return min(wait) if wait else None

    def _turn(self, fd: int, event: int) -> None:
        if fd == self._agent.fd:
            if event & select.EPOLLOUT:
                self._agent.writable()
            if event & ~select.EPOLLOUT:
                received = self._agent.receive()
                if received is None:
                    self._end()
                for frame in received:
                    self._from_agent(frame)
        elif fd == self._wakeup:
            os.read(self._wakeup, 4096)
            self._reap()
        elif fd in self._children:
            child = self._children[fd]
            if fd in child.streams:
                self._output.read(child, fd)
            elif event & select.EPOLLOUT:
                child.link.writable()
            else:
                self._from_child(child)

    def _send(self, kind: int, head: dict[str, Any], *payload: bytes) -> None:
        self._agent.send(frames.encode(kind, head, *payload))

    # What the agent asks

    def _from_agent(self, frame: frames.Frame) -> None:
        if frame.kind == frames.LOAD:
            self._load(frame)
        elif frame.kind == frames.CALL:
            self._call(frame)
        elif frame.kind == frames.CANCEL:
            self._cancel(frame.head)
        elif frame.kind == frames.CHILD_RESULT:
            caller = self._callers.pop(frame.head["id"], None)
            if caller is not None:
                caller.link.send(frame.raw)

    def _load(self, frame: frames.Frame) -> None:
        head = frame.head
        snapshot = head["snapshot"]
        try:
            changed = self._project.apply(head, frame)
        except UnknownBase as error:
            self._send(frames.LOADED, {"load": head["load"], "failure": failures.failure("load", str(error))})
            return
        self._versions.setdefault(snapshot, {}).update((version["digest"], version) for version in head["versions"])
        files = self._project.snapshots[snapshot]
        modules = [path for path in changed if path.endswith(".py") and files[path] in self._project.blobs]
        sources = (self._project.blobs[files[path]] for path in modules)
        if self._preloader.preload(sources, lambda: owner_names(files) | {"hob"}):
            self._end_spare()  # it lacks what has just been imported
        self._retired.discard(snapshot)
        child = self._serving(snapshot)
        if child is None and self._spare is not None:
            child, self._spare = self._spare, None  # forked before this frame, so it takes all of it
            self._give_load(child, snapshot, head["load"], frame.raw)
        else:
            try:
                child = child or self._fork()
            except OSError as error:
                self._send(frames.LOADED, {"load": head["load"], "failure": _no_process(error)})
                return
            self._give_load(child, snapshot, head["load"], _load_of_known(snapshot, head["load"], head["versions"]))
        self._later.extend((snapshot, path) for path in modules)
        for old in head["retire"]:
            self._retire(old)

    def _give_load(self, child: Child, snapshot: str, load: int, raw: bytes) -> None:
        child.snapshot = snapshot
        child.loads.append(load)
        self._by_snapshot[snapshot] = child
        child.link.send(raw)

    def _call(self, frame: frames.Frame) -> None:
        snapshot = frame.head["snapshot"]
        child = self._serving(snapshot)
        if child is None and snapshot in self._project.snapshots and snapshot in self._versions:
            try:
                child = self._start_again(snapshot)
            except OSError as error:
                self._result(frame.head["call"], _no_process(error))
                return
        if child is None:
            message = f"{frame.head['function']}: snapshot {snapshot[:12]} has not been loaded here"
            self._result(frame.head["call"], failures.failure("load", message))
            return
        child.queue.append(frame)
        self._give_call(child)

    def _serving(self, snapshot: str) -> Child | None:
        child = self._by_snapshot.get(snapshot)
        return None if child is None or child.ending else child

    def _start_again(self, snapshot: str) -> Child:
        """A process for a snapshot whose former process has ended."""
        child, self._spare = self._spare or self._fork(), None
        self._give_load(child, snapshot, 0, _load_of_known(snapshot, 0, list(self._versions[snapshot].values())))
        child.retired = snapshot in self._retired
        return child

    def _give_call(self, child: Child) -> None:
        if child.loads or child.running or child.ending:
            return
        if not child.queue:
            if child.retired:
                self._dismiss(child)
            return
        frame = child.queue.popleft()
        self._output.flush(child)
        child.running, child.dropped = frame.head["call"], 0
        child.link.send(frame.raw)
        self._send(frames.STARTED, {"call": child.running, "timeMs": time.time() * 1000})

    def _cancel(self, head: dict[str, Any]) -> None:
        """By call, or by load: then the process that is still importing ends."""
        for child in list(self._by_snapshot.values()):
            if "load" in head and head["load"] in child.loads or "call" in head and child.running == head["call"]:
                # Should its result cross our signal, it must not have been given another call.
                child.ending = child.expected = True
                children.signal_group(child, signal.SIGTERM)
                self._kill_later(child)
                return
            waiting = next((frame for frame in child.queue if frame.head["call"] == head.get("call")), None)
            if waiting is not None:
                child.queue.remove(waiting)
                self._result(head["call"], failures.failure("cancelled", "cancelled before it began"))
                return

    def _retire(self, snapshot: str) -> None:
        self._retired.add(snapshot)
        child = self._by_snapshot.get(snapshot)
        if child is not None:
            child.retired = True
            self._give_call(child)

    # What processes say

    def _from_child(self, child: Child) -> bool:
        """False when nothing came."""
        try:
            received = child.link.receive()
            for frame in received or ():
                self._accept(child, frame)
        except (frames.FrameError, KeyError, TypeError):
            received = None  # user code wrote to a descriptor that is not its own
        if received is None and child.link.fd >= 0:
            self._disconnect(child)
            child.ending = True  # its exit comes through _reap; where it goes on without a connection, our kill makes it
            self._kill_later(child)
        return bool(received)

    def _disconnect(self, child: Child) -> None:
        del self._children[child.link.fd]
        child.link.close()

    def _accept(self, child: Child, frame: frames.Frame) -> None:
        if frame.kind == frames.RESULT and frame.head["call"] == child.running:
            self._output.drain(child)
            call, child.running = child.running, ""
            if child.dropped:
                self._send(frames.RESULT, {**frame.head, "call": call, "droppedBytes": child.dropped}, frame.payload)
            else:
                self._agent.send(frame.raw)
            if child.ending:
                self._dismiss(child)
            else:
                self._give_call(child)
        elif frame.kind == frames.LOADED and frame.head["load"] in child.loads:
            self._output.drain(child)
            child.loads.remove(frame.head["load"])
            if frame.head["load"]:
                self._agent.send(frame.raw)
            self._give_call(child)
        elif frame.kind == frames.CHILD_CALL:
            self._callers[frame.head["id"]] = child
            self._agent.send(frame.raw)
        elif frame.kind == frames.CHILD_CANCEL:
            self._agent.send(frame.raw)

    # Life and death of processes

    def _fork(self, spare: bool = False) -> Child:
        child = children.fork(self._epoll, self._project, self._startup_modules, [*self._fds, *self._children], spare)
        self._children.update((fd, child) for fd in (child.link.fd, *child.streams))
        self._pids[child.pid] = child
        return child

    def _work_ahead(self) -> None:
        """One piece of what can be done before it is needed."""
        if self._later:
            snapshot, path = self._later.popleft()
            if path in self._project.snapshots.get(snapshot, {}):
                try:
                    self._project.code(snapshot, path)
                except (KeyError, SyntaxError, ValueError):
                    pass  # the process that imports it reports it
        elif self._spare is None and self._by_snapshot and time.monotonic() >= self._no_spare_until:
            # What is not retired may be called again, also when its process has ended.
            live = set(self._by_snapshot) | (set(self._versions) - self._retired)
            self._project.prune(live)
            self._versions = {key: value for key, value in self._versions.items() if key in self._project.snapshots}
            self._retired &= set(self._versions)
            try:
                self._spare = self._fork(spare=True)
            except OSError:
                self._no_spare_until = time.monotonic() + _no_fork_s

    def _end_spare(self) -> None:
        if self._spare is not None:
            self._dismiss(self._spare)
            self._spare = None

    def _dismiss(self, child: Child) -> None:
        """Closing its connection ends it in order; what does not end is killed."""
        child.ending = child.expected = True
        if self._by_snapshot.get(child.snapshot) is child:
            del self._by_snapshot[child.snapshot]
        if child.link.fd >= 0:
            self._disconnect(child)
        self._kill_later(child)

    def _kill_later(self, child: Child) -> None:
        self._kills.append((time.monotonic() + _grace_s, child))

    def _reap(self) -> None:
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
            if child is not None:
                self._bury(child, *children.outcome_of(status))

    def _bury(self, child: Child, kind: str, how: str) -> None:
        if child is self._spare:
            self._spare = None
        child.ending = True
        while child.link.fd >= 0 and self._from_child(child):
            pass  # a result that it sent before it died counts
        if child.link.fd >= 0:  # a process that it forked holds the other end
            self._disconnect(child)
        self._output.drain(child)
        for fd in list(child.streams):  # something that it started may keep them open
            self._output.close(child, fd)
        if self._by_snapshot.get(child.snapshot) is child:
            del self._by_snapshot[child.snapshot]
        self._callers = {call: caller for call, caller in self._callers.items() if caller is not child}
        self._kills = deque(kill for kill in self._kills if kill[1] is not child)
        self._report_death(child, kind, how)

    def _report_death(self, child: Child, kind: str, how: str) -> None:
        for load in filter(None, child.loads):
            self._send(frames.LOADED, {"load": load, "failure": failures.failure("load", f"the process that imported the project {how}")})
        if child.running:
            self._result(child.running, failures.failure(kind, f"the process that ran the call {how}"), child.dropped)
        elif child.loads:  # another process would die of the same import
            for frame in child.queue:
                self._result(frame.head["call"], failures.failure("load", f"the process that imported the project {how}"))
            return
        elif child.snapshot and not child.expected:
            text = f"hob: the process of snapshot {child.snapshot[:12]} {how} while it was idle; the next call starts it again"
            self._output.note("", "stderr", text.encode())
        for frame in child.queue:
            self._call(frame)

    def _result(self, call: str, failure: dict[str, Any], dropped: int = 0) -> None:
        self._send(frames.RESULT, {"call": call, "runMs": 0, "droppedBytes": dropped, "failure": failure})

    def _end(self) -> NoReturn:
        """The agent is gone: nothing here has a purpose any more."""
        for child in self._pids.values():
            children.signal_group(child, signal.SIGKILL)
        os._exit(0)


def _no_process(error: OSError) -> dict[str, Any]:
    limit = "the container's limit of processes and threads is reached; end some that your functions have started"
    return failures.failure("load", f"no process could be started for the code: {error.strerror} ({limit})")


def _load_of_known(snapshot: str, load: int, versions: list[dict[str, str]]) -> bytes:
    """A load frame for a process that was forked knowing the snapshot."""
    head = {"load": load, "app": "", "snapshot": snapshot, "base": snapshot, "changed": [], "removed": [], "blobs": [], "versions": versions}
    return frames.encode(frames.LOAD, {**head, "retire": []})
