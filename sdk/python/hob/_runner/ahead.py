"""⑥ What the zygote does before it is needed, while nobody waits: the SDK's imports, code objects, a process in spare."""

from __future__ import annotations

import os
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .children import Child
    from .preload import Preloader
    from .processes import Processes
    from .project import Project

#: A piece of it begins when nothing has come for this long.
_quiet_s = 0.01
#: While others need the processors it is put off, looking so often and for so long at most: a burst of starts or loads has them first.
_pause_s = 0.15
_longest_wait_s = 3.0
#: So long no spare is made when none of the calls has had a result yet: the first shall not wait for it.
_first_result_s = 1.0
#: After a fork that failed, for the container's limit of processes is reached.
_no_fork_s = 1.0


class Ahead:
    def __init__(self, processes: Processes, project: Project, preloader: Preloader) -> None:
        self._processes, self._project, self._preloader = processes, project, preloader
        self._sdk = False  # it has been imported
        self._later: deque[tuple[str, str]] = deque()  # (snapshot, path) to compile
        self._spare: Child | None = None
        self._spares = True  # one shall be made
        self._no_spare_until = 0.0
        self._not_until = 0.0
        self._waits_since = 0.0  # others have the processors
        self._quiet_s = _quiet_s
        self._served = False  # a call has had its result

    def compile(self, snapshot: str, paths: list[str]) -> None:
        self._later.extend((snapshot, path) for path in paths)

    def loads(self) -> None:
        self._waits_since = 0.0
        if not self._served:
            self._no_spare_until = time.monotonic() + _first_result_s

    def served(self) -> None:
        if not self._served:
            self._served, self._no_spare_until = True, 0.0

    def take(self) -> Child | None:
        child, self._spare = self._spare, None
        return child

    def is_spare(self, child: Child) -> bool:
        return child is self._spare

    def end_spare(self) -> None:
        child = self.take()
        if child is not None:
            self._processes.dismiss(child)

    def end(self) -> None:
        """Nothing is made any more."""
        self._spares = False
        self.end_spare()

    def seconds(self) -> float | None:
        """Until a piece is due, when nothing comes."""
        if self._later or not self._sdk:
            due = self._not_until
        elif self._spare is None and self._spares:
            due = max(self._not_until, self._no_spare_until)
        else:
            return None
        return max(self._quiet_s, due - time.monotonic())

    def stirred(self) -> None:
        """Something has come."""
        self._quiet_s = _quiet_s

    def work(self) -> None:
        """One piece, when it is due and there is a processor for it."""
        self._quiet_s = 0
        now = time.monotonic()
        if self.seconds() is None or now < self._not_until:
            return
        if now - (self._waits_since or now) < _longest_wait_s and _busy():
            self._waits_since = self._waits_since or now
            self._not_until = now + _pause_s
            return
        if not self._sdk:
            self._sdk = True
            self._preloader.import_sdk()
            self._preloader.import_parser()
        elif self._later:
            snapshot, path = self._later.popleft()
            if path in self._project.snapshots.get(snapshot, {}):
                try:
                    self._project.code(snapshot, path)
                except (KeyError, SyntaxError, ValueError):
                    pass  # the process that imports it reports it
        elif now >= self._no_spare_until:
            try:
                self._spare = self._processes.fork(spare=True)
            except OSError:
                self._no_spare_until = now + _no_fork_s


def _busy() -> bool:
    """Half of the machine's processors, or the one, have something to run, not counting us: proc_loadavg(5), the fourth field."""
    try:
        with open("/proc/loadavg", "rb") as file:
            running = int(file.read().split()[3].partition(b"/")[0])
    except OSError:
        return False
    return running > max(1, (os.cpu_count() or 1) // 2)
