"""⑥ The zygote: preloads imports, forks processes and patches them, carries frames between them and the agent. Runs no user code."""

from __future__ import annotations

import _signal as signal  # the module over it costs a start 1 ms
import gc
import os
import select
import sys
import time

from .. import failures, frames
from . import forking, voice, work
from .ahead import Ahead
from .children import Child
from .inspecting import Inspections
from .link import Link
from .loads import Loads
from .preload import Preloader
from .processes import Processes, adopt_orphans, no_process
from .project import Project, UnknownBase, owner_names
from .servings import Serving, Servings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: What was loaded is forgotten, where it is retired, when nothing has come for this long.
_quiet_s = 0.01
#: What a patch has come to waits so long for the result of the call that came with it: the agent is woken once for both.
_together_s = 0.002
#: Or after so many loads, should they come so fast that it is never quiet.
_loads_untidied = 32


class Zygote:
    def __init__(self, agent_fd: int, startup_modules: frozenset[str]) -> None:
        if os.getpid() != 1:
            adopt_orphans()
        self._epoll = select.epoll()
        self._agent = Link(agent_fd, self._epoll)
        self._project = Project()
        self._preloader = Preloader()
        self._versions: dict[str, dict[str, dict[str, Any]]] = {}  # snapshot → version digest → version
        self._secrets: dict[str, str] = {}
        self._servings = Servings()
        self._retired: set[str] = set()
        self._callers: dict[str, Child] = {}  # by the calls that their functions made
        self._mappers: dict[str, Child] = {}  # by the maps that their functions made
        self._untidy = 0  # loads since it was last looked for something to forget
        self._finishing = False
        self._together_until = 0.0  # what is held for the agent goes with a result, or then
        self._wakeup, wakeup_end = os.pipe()
        for fd in (self._wakeup, wakeup_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        own_fds = [agent_fd, self._wakeup, wakeup_end, self._epoll.fileno()]
        self._processes = Processes(self._epoll, self._agent, self._project, startup_modules, own_fds)
        self._processes.events = self
        self._ahead = Ahead(self._processes, self._project, self._preloader)
        self._loads = Loads(self, self._project, self._servings, self._processes)
        self._inspections = Inspections(self.send)

    def run(self) -> NoReturn:
        gc.collect()
        gc.disable()  # a collection here would touch, and so copy, pages that all processes share
        voice.install()
        name = sys.implementation.name.replace("cpython", "Python")
        interpreter = f"{name} {'.'.join(map(str, sys.version_info[:3]))}"
        self.send(frames.READY, {"protocol": frames.PROTOCOL, "language": "python", "interpreter": interpreter})
        while True:
            events = self._epoll.poll(self._patience())
            self._agent.hold()  # it is woken once for all that a turn has for it
            for fd, event in events:
                self._turn(fd, event)
            if events:
                self._ahead.stirred()
            quiet = not events and not self._together_until
            if self._untidy and (quiet or self._untidy >= _loads_untidied):
                self._tidy()
            elif quiet:
                self._ahead.work()
            self._processes.kill_due()
            if not self._together_until or time.monotonic() >= self._together_until:
                self._together_until = 0.0
                self._agent.release()
            if self._finishing and not self._processes.any:
                self._end()

    def _patience(self) -> float | None:
        """Seconds until something is due by itself."""
        if self._together_until:
            return max(0.0, self._together_until - time.monotonic())
        quiet = _quiet_s if self._untidy else None
        waits = (quiet, self._ahead.seconds(), self._processes.seconds_to_kill(), self._inspections.seconds())
        return min((seconds for seconds in waits if seconds is not None), default=None)

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
            self._processes.reap()
        elif fd in self._processes.by_fd:
            self._processes.handle(self._processes.by_fd[fd], fd, event)

    def send(self, kind: int, head: dict[str, Any], *payload: bytes) -> None:
        self._agent.send(frames.encode(kind, head, *payload))

    # What the agent asks

    def _from_agent(self, frame: frames.Frame) -> None:
        if frame.kind == frames.LOAD:
            self._load(frame)
        elif frame.kind in work.KINDS:
            self._call(frame)
        elif frame.kind == frames.CANCEL:
            self._cancel(frame.head)
        elif frame.kind == frames.CHILD_RESULT:
            caller = self._callers.pop(frame.head["id"], None)
            if caller is not None:
                caller.link.send(frame.raw)
        elif frame.kind == frames.MAP_NEWS:
            mapper = self._mappers.get(frame.head["map"])
            if mapper is not None:
                mapper.link.send(frame.raw)
                if frame.head.get("finished"):
                    del self._mappers[frame.head["map"]]
        elif frame.kind == frames.TAKEN:
            reader = self._processes.running(frame.head["call"])
            if reader is not None:
                reader.link.send(frame.raw)
        elif frame.kind == frames.INSPECT:
            self._inspections.ask(frame)
        elif frame.kind == frames.FINISH:
            self._finish()
        elif frame.kind == frames.ROUSE:
            self._loads.rouse(frame)

    def _load(self, frame: frames.Frame) -> None:
        head = frame.head
        snapshot = head["snapshot"]
        try:
            changed = self._project.apply(head, frame)
        except UnknownBase as error:
            self.send(frames.LOADED, {"load": head["load"], "failure": failures.failure("load", str(error))})
            return
        self._secrets.update(head.get("secrets") or {})
        self._versions.setdefault(snapshot, {}).update((version["digest"], version) for version in head["versions"])
        files = self._project.snapshots[snapshot]
        modules = [path for path in changed if path.endswith(".py") and files[path] in self._project.blobs]
        patched = {name for patch in head["patches"] for name in patch["functions"]}
        if any(version["function"] not in patched for version in head["versions"]):  # bodies import when they run
            sources = (self._project.blobs[files[path]] for path in modules)
            if self._preloader.preload(sources, lambda: owner_names(files)):
                self._ahead.end_spare()  # it lacks what has just been imported
        self._retired.discard(snapshot)
        self._ahead.loads()
        if self._loads.take(frame):
            self._ahead.compile(snapshot, modules)
        self._untidy += 1
        self._retired.update(old for old in head["retire"] if old in self._versions)
        for serving in list(self._servings.all):
            self.settle(serving)

    def _call(self, frame: frames.Frame) -> None:
        snapshot, digest = frame.head["snapshot"], frame.head["version"]
        serving = self._servings.routes.get((snapshot, digest))
        version = self._versions.get(snapshot, {}).get(digest)
        if serving is None and version is not None and snapshot in self._project.snapshots:
            try:
                serving = self._loads.again(snapshot, [version])
            except OSError as error:
                self.refuse(frame, no_process(error))
                return
        if serving is None:
            message = f"{frame.head['function']}: snapshot {snapshot[:12]} has not been loaded here"
            self.refuse(frame, failures.failure("load", message))
            return
        serving.queue.append(frame)
        self.give_calls(serving)

    def give_calls(self, serving: Serving) -> None:
        while serving.queue:
            child = serving.free()
            if child is None:
                try:
                    child = self._another(serving)
                except OSError as error:
                    if any(not child.ending for child in serving.workers):
                        return
                    self.refuse(serving.queue.popleft(), no_process(error))
                    continue
            if child is None or child.loads and not child.patching:
                return
            if child.calls == 0 and serving.wants_template:
                serving.workers.remove(child)
                serving.template = child
                child = self._processes.fork_from(child)
                serving.workers.append(child)
            self._give(child, serving.queue.popleft())
        self.settle(serving)

    def _another(self, serving: Serving) -> Child | None:
        """One more process for a serving that has less than it may have; None where its calls wait for one that it has."""
        live = [child for child in serving.workers if not child.ending]
        if len(live) >= serving.concurrency or any(child.loads for child in live):
            return None
        if serving.template is not None:
            child = self._processes.fork_from(serving.template)
            serving.workers.append(child)
            return child
        return self._loads.fill(serving)

    def _give(self, child: Child, frame: frames.Frame) -> None:
        self._processes.output.flush(child)
        child.running, child.dropped = frame, 0
        child.calls += 1
        child.link.send(frame.raw)
        if not child.loads:
            self._started(frame)

    def _started(self, frame: frames.Frame) -> None:
        self.send(frames.STARTED, {**work.name_of(frame), "timeMs": time.time() * 1000})

    def _cancel(self, head: dict[str, Any]) -> None:
        """By call, by inputs, or by load: then the process that is still importing ends."""
        if "load" in head:
            for child in self._loads.children_of(head["load"]):
                self._processes.terminate(child)
            return
        for child in set(self._processes.by_fd.values()):
            if child.running and work.is_of(child.running, head):
                # Should its result cross our signal, it must not have been given another call.
                self._processes.terminate(child)
                return
        for serving in self._servings.all:
            waiting = next((frame for frame in serving.queue if work.is_of(frame, head)), None)
            if waiting is not None:
                serving.queue.remove(waiting)
                self.refuse(waiting, failures.failure("cancelled", "cancelled before it began"))
                return

    def _finish(self) -> None:
        self._finishing = True
        self._ahead.end()
        for serving in list(self._servings.all):
            self.leave(serving)

    # What processes say

    def accept(self, child: Child, frame: frames.Frame) -> None:
        if frame.kind in work.ANSWERS and child.running and work.is_of(child.running, frame.head):
            self._processes.output.drain(child)
            if frame.kind == frames.RESULTS and not frame.head.get("last"):
                self._agent.send(frame.raw)
                return
            self._inspections.finished(child, child.running, frame)
            child.running = None
            self._together_until = 0.0
            if child.dropped:
                self.send(frame.kind, {**frame.head, "droppedBytes": child.dropped}, frame.payload)
            else:
                self._agent.send(frame.raw)
            self._ahead.served()
            if child.ending:
                self._processes.dismiss(child)
            elif child.serving is not None and child in child.serving.workers:
                self.give_calls(child.serving)
            else:
                self._processes.dismiss(child)  # its serving went on without it
        elif frame.kind == frames.LOADED and frame.head["load"] in child.loads:
            self._processes.output.drain(child)
            child.loads.remove(frame.head["load"])
            child.patching = child.patching and bool(child.loads)
            self._loads.answered(child, frame.head)
            if child.running and not child.loads and "cannot" not in frame.head:
                self._started(child.running)
                self._together_until = time.monotonic() + _together_s
            if child.serving is not None:
                self.give_calls(child.serving)
        elif frame.kind == frames.OUTPUT and child.running:
            self._processes.output.relay(child, frame)
        elif frame.kind == forking.BOUNCED and child.running and work.is_of(child.running, frame.head):
            call, child.running = child.running, None
            self._call(call)
            if child.serving is not None:
                self.give_calls(child.serving)
        elif frame.kind == frames.CHILD_CALL:
            self._callers[frame.head["id"]] = child
            self._agent.send(frame.raw)
        elif frame.kind in (frames.CHILD_CANCEL, frames.CHILD_WAIT, frames.PART, frames.INSPECTED, frames.MAP_INPUTS, frames.MAP_TAKE, frames.MAP_CANCEL):
            self._agent.send(frame.raw)
        elif frame.kind == frames.MAP:
            self._mappers[frame.head["map"]] = child
            self._agent.send(frame.raw)

    # Life and death of processes

    def settle(self, serving: Serving) -> None:
        """With nothing to do it lets go of what is retired, and ends when nothing is left."""
        if not serving.idle:
            return
        for route in [route for route in serving.routes if route[0] in self._retired]:
            self._servings.take(route)
        if not serving.routes:
            self.leave(serving)

    def leave(self, serving: Serving) -> None:
        """Ends it: at once what has nothing to do, the rest with its call."""
        self._servings.forget(serving)
        for child in list(serving.processes()):
            if child.running is None:
                self._processes.dismiss(child)
            else:
                child.ending = child.expected = True
        serving.workers, serving.template = [child for child in serving.workers if child.running], None

    def _tell_unloaded(self) -> None:
        """Retired snapshots in which no process lives any more, and which nobody can call."""
        if not self._retired:
            return
        used = self._servings.snapshots() | {child.home for child in set(self._processes.by_fd.values())}
        for snapshot in self._retired - used:
            self._retired.discard(snapshot)
            self._versions.pop(snapshot, None)
            self.send(frames.UNLOADED, {"snapshot": snapshot})

    def _tidy(self) -> None:
        self._untidy = 0
        self._tell_unloaded()
        # What is not retired may be called again, also when its process has ended.
        self._project.prune(self._servings.snapshots() | (set(self._versions) - self._retired))
        self._versions = {key: value for key, value in self._versions.items() if key in self._project.snapshots}

    def process(self) -> Child:
        """One that has loaded nothing yet."""
        return self._ahead.take() or self._processes.fork()

    def secrets(self, versions: list[dict[str, Any]]) -> dict[str, str]:
        names = {name for version in versions for name in version["secrets"]}
        return {name: value for name, value in self._secrets.items() if name in names}

    def not_forked(self, child: Child, reason: str) -> None:
        """The template runs its calls itself, and there is no other to go back to."""
        serving, template = child.serving, child.parent
        if serving is None or template is None:
            return
        serving.lose(child)
        for load in list(child.loads):
            self._loads.answered(child, {"load": load, "cannot": reason})
        serving.run_in(template)
        if child.running:
            serving.queue.appendleft(child.running)
        if serving in self._servings.all:
            self.give_calls(serving)

    def died(self, child: Child, kind: str, how: str) -> None:
        if self._ahead.is_spare(child):
            self._ahead.take()
        self._callers = {call: caller for call, caller in self._callers.items() if caller is not child}
        self._mappers = {made: mapper for made, mapper in self._mappers.items() if mapper is not child}
        serving = child.serving
        if serving is not None:
            serving.lose(child)
        failed = self._loads.died(child, how)
        if child.running:
            given, child.running = child.running, None
            what = "call" if given.kind == frames.CALL else "input"
            self.refuse(given, failures.failure(kind, f"the process that ran the {what} {how}"), child.dropped, child.guilty)
        elif failed and serving is not None and not serving.workers:  # another process would die of the same import
            for frame in serving.queue:
                self.refuse(frame, failures.failure("load", f"the process that imported the project {how}"))
            serving.queue.clear()
        elif child.home and not child.expected:
            text = f"hob: the process of snapshot {child.home[:12]} {how} while it was idle; the next call starts it again"
            self._processes.output.note("", "stderr", text.encode())
        if serving is not None and serving in self._servings.all:
            self.give_calls(serving)
        self._tell_unloaded()

    def refuse(self, frame: frames.Frame, failure: dict[str, Any], dropped: int = 0, guilty: int | None = None) -> None:
        self.send(*work.refusal(frame, failure, dropped, guilty))

    def _end(self) -> NoReturn:
        """The agent is gone, or has nothing more to ask."""
        self._processes.kill_all()
        self._agent.flush()
        os._exit(0)
